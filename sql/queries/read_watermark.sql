-- Transaction ids above all that this cluster has assigned come from another cluster, even with the same identifier.
select watermark::text, watermark_lsn, published::text
from annals.relays
where relay = $1 and cluster = (select system_identifier from pg_control_system())
  and pg_snapshot_xmax(watermark) <= pg_snapshot_xmax(pg_current_snapshot())
