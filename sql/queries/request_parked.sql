-- retry: send all messages of the key; skip: send all except this message; drop: send none of them.
with chosen as (
  select id, relay, topic, key from annals.parked_messages where id = $1 and state = 'parked'
), changed as (
  update annals.parked_messages p
  set requested = $2::text <> 'drop' and not ($2::text = 'skip' and p.id = c.id),
      state = case when $2::text = 'drop' then 'dropped' when $2::text = 'skip' and p.id = c.id then 'skipped' else p.state end,
      settled_at = case when $2::text = 'drop' or $2::text = 'skip' and p.id = c.id then now() end,
      history = p.history || jsonb_build_array(jsonb_build_object('at', now(), 'what', $2::text || ' asked for', 'reason', null))
  from chosen c
  where p.relay = c.relay and p.topic = c.topic and p.key is not distinct from c.key and p.state = 'parked'
  returning p.id
)
select count(*) from changed
