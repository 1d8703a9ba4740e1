-- Whether the last events of a stream have this one: for an append whose answer was lost.
select version, recorded_at from annals.events
where stream_id = $1 and version > $2 and event_id = $3
