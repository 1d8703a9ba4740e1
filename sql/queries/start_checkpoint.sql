-- $4: what lies below this transaction has been published by another way; counts for a new checkpoint alone.
insert into annals.relay_checkpoints (relay, shard, shards, xid) values ($1, $2, $3, $4)
on conflict on constraint relay_checkpoints_pkey do update set updated_at = now()
returning shards::bigint, xid, position, complete
