-- Creates the checkpoints of all shards at once: rows of a shard whose relay has not started yet are neither dropped
-- nor skipped. Where the relay has another number of shards nothing is created, and its rows come back as they are. $4:
-- transactions of this epoch below this id have already been published another way; used only for new checkpoints.
with present as (
  select * from annals.relay_checkpoints where relay = $1
), started as (
  insert into annals.relay_checkpoints as c (relay, shard, shards, epoch, xid)
  select $1, part, $3, case when $4 = '0'::xid8 then 0 else (select epoch from annals.log) end, $4
  from generate_series(0, $3 - 1) part
  where not exists (select from present where shards <> $3)
  on conflict on constraint relay_checkpoints_pkey do update
    set updated_at = case c.shard when $2 then now() else c.updated_at end
  returning shard, shards, epoch, xid, sequence, complete
)
select shard::bigint, shards::bigint, epoch, xid, sequence, complete from started
union all
select shard::bigint, shards::bigint, epoch, xid, sequence, complete from present where not exists (select from started)
