-- Creates the checkpoints of all shards at once: rows of a shard whose relay has not started yet are neither dropped
-- nor skipped. $4: transactions below this id have already been published another way; used only for new checkpoints.
insert into annals.relay_checkpoints as c (relay, shard, shards, xid)
select $1, part, $3, $4 from generate_series(0, $3 - 1) part
on conflict on constraint relay_checkpoints_pkey do update
  set updated_at = case c.shard when $2 then now() else c.updated_at end
returning shard::bigint, shards::bigint, xid, position, complete
