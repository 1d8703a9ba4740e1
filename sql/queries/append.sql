select outcome, version, recorded_at
from annals.append_event(
  stream_id => $1, category => $2, expected => $3, event_id => $4, type => $5, schema_version => $6, data => $7,
  metadata => $8, key => $9, op => $10, before => $11, after => $12, headers => $13)
