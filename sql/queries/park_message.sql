insert into annals.parked_messages (relay, topic, partition, key, value, headers, timestamp, source, ordinal, reason, history)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::text,
        jsonb_build_array(jsonb_build_object('at', now(), 'what', 'parked', 'reason', $10::text)))
on conflict on constraint parked_messages_source_key do nothing
