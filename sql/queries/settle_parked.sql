with settled as (
  update annals.parked_messages set state = $2::text, settled_at = now(), requested = false where id = $1 returning id
)
select annals.note_parked(id, $2::text, null) from settled
