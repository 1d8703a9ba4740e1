select c.shard::bigint, c.shards::bigint, c.xid::text || ' ' || c.position,
       (select count(*) from (select 1 from annals.outbox o where (o.xid, o.position) > (c.xid, c.position)
                              and abs(hashtextextended(o.key, 0) % c.shards) = c.shard limit 100000) rows),
       extract(epoch from now() - c.updated_at)::bigint
from annals.relay_checkpoints c where c.relay = $1 order by c.shard
