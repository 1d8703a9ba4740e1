with refused as (
  update annals.parked_messages p set requested = false, reason = case when p.id = $1 then $2::text else p.reason end
  from annals.parked_messages first
  where first.id = $1 and p.relay = first.relay and p.topic = first.topic and p.key is not distinct from first.key
    and p.state = 'parked'
  returning p.id
)
select annals.note_parked($1, 'refused', $2::text) from refused where id = $1
