-- The registry of the outbox's readers. Nothing of the outbox goes before each of them has it; `annals relay forget` retires
-- one.
create table annals.relays (
  relay         text collate "C" not null,
  -- Where it reads: `wal` by a slot of its name, or `table` with a row for each part in annals.relay_checkpoints.
  source        text             not null,
  -- What it reads: the `outbox`, of which nothing goes before it has it, or the `tables` of others.
  feed          text             not null default 'outbox',
  -- A slot is ready once what the outbox held when it was made has been published. Until then nothing goes.
  ready         boolean          not null default false,
  start         pg_lsn,
  ready_at      timestamptz,
  -- How far it has published, said in transactions: every one that the watermark sees, and those in `published`. A slot says
  -- it in bytes of WAL; rows of the outbox know nothing of those. Whoever reads the table instead of the WAL leaves out what
  -- the watermark sees; whoever reads the WAL does so up to watermark_lsn, behind which nothing of it can come.
  watermark     pg_snapshot,
  watermark_lsn pg_lsn,
  published     xid8[]           not null default '{}',
  -- Up to there `published` is complete. A relay that was killed has published more, and nobody knows which transactions.
  published_lsn pg_lsn,
  -- Transaction ids mean something in the epoch that gave them out. Everything of earlier epochs has been published.
  epoch         integer,
  registered_at timestamptz      not null default now(),
  constraint relays_pkey primary key (relay),
  constraint relays_source_check check (source in ('wal', 'table')),
  constraint relays_feed_check check (feed in ('outbox', 'tables'))
);
