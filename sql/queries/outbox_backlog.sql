-- By position, not by xid: inside one stream positions are in the order of versions.
copy (
  select xid, position, aggregate_type, key, op, before, after, event_id, type, version, headers, recorded_at
  from annals.outbox
  order by position
) to stdout (format binary)
