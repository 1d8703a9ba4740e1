-- Of the $2 oldest those that are older than $1 seconds.
delete from annals.webhook_attempts where id in (
  select id from (select id, at from annals.webhook_attempts order by id limit $2) o where at < now() - $1::bigint * interval '1 second'
)
