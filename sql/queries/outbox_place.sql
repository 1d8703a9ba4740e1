select i.sequence, i.epoch || ':' || i.xid, exists (
  select from annals.outbox o where (o.epoch, o.xid, o.sequence) = (i.epoch, i.xid, i.sequence)
) from annals.log_index i where i.event_id = $1 order by i.index limit 1
