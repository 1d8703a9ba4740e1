insert into annals.spans (trace, span, parent, name, kind, process, begun, ended, failure, attributes)
select u.trace, u.span, u.parent, u.name, u.kind, $1, to_timestamp(u.begun / 1e6), to_timestamp(u.ended / 1e6), u.failure, u.attributes
from unnest($2::uuid[], $3::bigint[], $4::bigint[], $5::text[], $6::integer[], $7::bigint[], $8::bigint[], $9::text[], $10::json[])
  u(trace, span, parent, name, kind, begun, ended, failure, attributes)
