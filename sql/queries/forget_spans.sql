-- Of the $2 oldest those that are older than $1 seconds.
delete from annals.spans where id in (
  select id from (select id, ended from annals.spans order by id limit $2) o where ended < now() - $1::bigint * interval '1 second'
)
