-- A key is shown by the first message that was refused, not by one that only waits.
select (array_agg(id order by reason = 'an earlier message of its key is parked', place, ordinal, id))[1], relay, topic, coalesce(encode(key, 'escape'), ''), count(*), to_char(min(parked_at), 'YYYY-MM-DD HH24:MI:SS'),
       (array_agg(reason order by reason = 'an earlier message of its key is parked', place, ordinal, id))[1], bool_or(requested)
from annals.parked_messages where state = 'parked' group by relay, topic, key order by 1
