-- Only a ready slot counts: one that is not ready may be confirmed beyond the published events.
select added, dropped
from annals.maintain_outbox((select s.confirmed_flush_lsn from pg_replication_slots s
                             join annals.relay_slots r on r.slot = s.slot_name and r.ready
                             where s.slot_name = $1 and s.database = current_database()))
