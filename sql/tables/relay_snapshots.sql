-- Tables of others that a relay has read and sent while its slot was new: a relay that is stopped in between goes on with
-- the next table. What the stream then brings of transactions that `seen` sees is in the table already; behind `position`
-- nothing of them can come, and the rows here go.
create table annals.relay_snapshots (
  slot     text        not null,
  table_id oid         not null,
  seen     pg_snapshot not null,
  position pg_lsn      not null,
  read_at  timestamptz not null default now(),
  constraint relay_snapshots_pkey primary key (slot, table_id)
);
