-- Parks a message, once. $12: only while an earlier message of its key is parked; the operator may have settled that one
-- meanwhile. Returns parked; settled, if this message has been decided about before; or free, if nothing is before it.
with earlier as (
  select 1 from annals.parked_messages p
  where p.relay = $1 and p.topic = $2 and p.key is not distinct from $4 and p.state = 'parked'
  limit 1 for share
), known as (
  select p.state from annals.parked_messages p where p.relay = $1 and p.source = $9 and p.ordinal = $10
), added as (
  insert into annals.parked_messages (relay, topic, partition, key, value, headers, timestamp, place, source, ordinal, reason, history)
  select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::text,
         jsonb_build_array(jsonb_build_object('at', now(), 'what', 'parked', 'reason', $11::text))
  where not exists (select from known) and (not $12 or exists (select from earlier))
  on conflict on constraint parked_messages_source_key do nothing
  returning 1
)
select case when exists (select from known where state <> 'parked') then 'settled'
            when exists (select from known) or exists (select from added) then 'parked'
            else 'free' end
