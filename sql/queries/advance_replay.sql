-- $1 webhook, $2 where it was, $3 where it is; null: it is done.
with done as (delete from annals.webhook_replays where webhook = $1 and next = $2 and $3::bigint is null)
update annals.webhook_replays set next = $3 where webhook = $1 and next = $2 and $3::bigint is not null
