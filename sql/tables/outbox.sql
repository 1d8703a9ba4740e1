-- The outbox: each event as the relay publishes it. Rows are written beside their events, in the same transaction, and
-- stay until every registered relay has confirmed them. They then go by whole partitions: nothing is ever deleted row by
-- row, so the table does not bloat. There is no default partition: a row without a home fails its transaction loudly.
create table annals.outbox (
  epoch       integer          not null default 1,
  xid         xid8             not null default pg_current_xact_id(),
  sequence    bigint           not null,
  category    text collate "C" not null,
  key         text collate "C" not null,
  op          "char"           not null,
  -- json, not jsonb: the relay splices these bytes into its messages, in the order in which they were written.
  before      json,
  after       json,
  event_id    uuid             not null,
  type        text collate "C" not null,
  version     bigint           not null,
  headers     json,
  recorded_at timestamptz      not null,
  constraint outbox_pkey primary key (epoch, xid, sequence)
) partition by range (sequence);
