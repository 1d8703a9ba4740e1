-- How far a relay has published, said in transactions: every one that the watermark sees, and those in `published`. A slot
-- says it in bytes of WAL; rows of the outbox know nothing of those. Whoever reads the table instead of the WAL leaves out
-- what the watermark sees; whoever reads the WAL does so up to watermark_lsn, behind which nothing of it can come.
alter table annals.relay_slots
  add column watermark     pg_snapshot,
  add column watermark_lsn pg_lsn,
  add column published     xid8[] not null default '{}',
  -- Transaction numbers mean something in the cluster that gave them out.
  add column cluster       bigint;
