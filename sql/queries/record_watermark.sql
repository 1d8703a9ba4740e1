update annals.relays
   set watermark = $2::text::pg_snapshot, watermark_lsn = $3, published = $4::text::xid8[],
       cluster = (select system_identifier from pg_control_system())
where relay = $1
