select next, before from annals.webhook_replays where webhook = $1
