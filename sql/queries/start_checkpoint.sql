insert into annals.relay_checkpoints (relay, shard, shards) values ($1, $2, $3)
on conflict on constraint relay_checkpoints_pkey do update set updated_at = now()
returning shards::bigint, xid, position, complete
