select c.shard::bigint, c.shards::bigint, c.epoch || ' ' || c.xid::text || ' ' || c.sequence,
       (select count(*) from (select 1 from annals.outbox o where (o.epoch, o.xid, o.sequence) > (c.epoch, c.xid, c.sequence)
                              and abs(hashtextextended(o.key, 0) % c.shards) = c.shard limit 100000) rows),
       extract(epoch from now() - c.updated_at)::bigint
from annals.relay_checkpoints c where c.relay = $1 order by c.shard
