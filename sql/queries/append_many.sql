select outcome, versions, recorded_at, replay
from annals.append_events(
  streams => $1, categories => $2, keys => $3, expected => $4, event_streams => $5, event_ids => $6, types => $7,
  schema_versions => $8, datas => $9, ops => $10, befores => $11, afters => $12, metadata => $13, headers => $14,
  command => $15, request => $16, answer => $17)
