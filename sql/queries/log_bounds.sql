-- The places of two log indexes in storage order, for a COPY between them; and the newest index.
select first.epoch, first.xid, first.sequence, last.index, last.epoch, last.xid, last.sequence
from (select * from annals.log_index where index >= $1 order by index limit 1) first,
     (select * from annals.log_index where index < $2 order by index desc limit 1) last
where last.index >= first.index
