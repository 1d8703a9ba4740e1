-- All parts at once: nothing goes, and nobody passes over the rows of, a part whose relay has not started yet.
-- $4: what lies below this transaction has been published by another way; counts for a new checkpoint alone.
insert into annals.relay_checkpoints as c (relay, shard, shards, xid)
select $1, part, $3, $4 from generate_series(0, $3 - 1) part
on conflict on constraint relay_checkpoints_pkey do update
  set updated_at = case c.shard when $2 then now() else c.updated_at end
returning shard::bigint, shards::bigint, xid, position, complete
