insert into annals.webhook_replays (webhook, next, before) values ($1, $2, $3) on conflict (webhook) do nothing
