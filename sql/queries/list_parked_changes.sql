select id, view, stream_id, version, newest, reason, to_char(parked_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS'), coalesce(requested, '')
from annals.parked_changes where state = 'parked' order by id
