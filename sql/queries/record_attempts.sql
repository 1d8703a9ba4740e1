insert into annals.webhook_attempts (webhook, message, event, document, version, number, at, milliseconds, status, problem)
select $1, u.message, u.event, $2, u.version, u.number, to_timestamp(u.at / 1e6), u.milliseconds, u.status, u.problem
from unnest($3::text[], $4::uuid[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::text[])
  u(message, event, version, number, at, milliseconds, status, problem)
