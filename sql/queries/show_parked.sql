select jsonb_pretty(jsonb_build_object(
  'id', id, 'relay', relay, 'topic', topic, 'key', encode(key, 'escape'), 'state', state, 'reason', reason,
  'bytes', length(value), 'place', place, 'source', source, 'ordinal', ordinal, 'parked_at', parked_at, 'settled_at', settled_at, 'history', history,
  'value', left(encode(value, 'escape'), 2000)))
from annals.parked_messages where id = $1
