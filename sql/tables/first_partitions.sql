select annals.add_outbox_partitions(8, 250000);
