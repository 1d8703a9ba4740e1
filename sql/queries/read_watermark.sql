-- Numbers above all that this cluster has given out come from another one, whatever its identifier.
select watermark::text, watermark_lsn, published::text
from annals.relay_slots
where slot = $1 and cluster = (select system_identifier from pg_control_system())
  and pg_snapshot_xmax(watermark) <= pg_snapshot_xmax(pg_current_snapshot())
