-- What relays read of the WAL. Only the owner of the table can make it.
create publication annals_outbox for table annals.outbox with (publish = 'insert', publish_via_partition_root = true);
