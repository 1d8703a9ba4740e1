select beyond from annals.outbox_partitions order by beyond
