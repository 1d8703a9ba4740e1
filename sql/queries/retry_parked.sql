-- Asks for all parked messages, or for those of a topic.
with changed as (
  update annals.parked_messages p
  set requested = true,
      history = p.history || jsonb_build_array(jsonb_build_object('at', now(), 'what', 'retry asked for', 'reason', null))
  where p.state = 'parked' and ($1::text is null or p.topic = $1)
  returning 1
)
select count(*) from changed
