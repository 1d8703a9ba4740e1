-- Nothing is returned if the relay was forgotten, or if the log is in another epoch by now.
update annals.relays
   set watermark = $2::text::pg_snapshot, watermark_lsn = $3, published = $4::text::xid8[], epoch = $5, published_lsn = $6
where relay = $1 and $5 = (select l.epoch from annals.log l)
returning 1
