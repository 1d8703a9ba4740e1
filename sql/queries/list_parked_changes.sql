-- Those of generations that nobody uses any more are no matter.
select p.id, p.view, p.stream_id, p.version, p.newest, p.reason, to_char(p.parked_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS'),
       coalesce(p.requested, '')
from annals.parked_changes p join annals.view_generations g on (g.view, g.generation) = (p.view, p.generation)
where p.state = 'parked' and g.state in ('live', 'building', 'kept') order by p.id
