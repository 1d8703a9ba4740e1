-- $2: the log's epoch. Transaction ids above all that this cluster has assigned come from another one all the same: a copy of
-- its files that was started without its end.
select watermark::text, watermark_lsn, published::text, coalesce(published_lsn, watermark_lsn)
from annals.relays
where relay = $1 and epoch = $2
  and pg_snapshot_xmax(watermark) <= pg_snapshot_xmax(pg_current_snapshot())
