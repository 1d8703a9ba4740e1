select added, dropped
from annals.maintain_outbox((select confirmed_flush_lsn from pg_replication_slots
                             where slot_name = $1 and database = current_database()))
