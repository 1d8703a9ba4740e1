-- What is known of each partition of the outbox on its way out. A partition is full once the sequence has passed it;
-- complete once every transaction that could still write to it has ended; and may go once each relay has confirmed all
-- that was in the WAL by then, or has read all those transactions from the table.
create table annals.outbox_partitions (
  name        text   not null,
  first       bigint not null,
  beyond      bigint not null,
  full_xmax   xid8,
  complete_at pg_lsn,
  constraint outbox_partitions_pkey primary key (name),
  constraint outbox_partitions_beyond_key unique (beyond)
);
