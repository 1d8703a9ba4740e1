-- How far relays have come that read the outbox from the table. A relay in several parts, by the keys' hash, has a row for
-- each. What is in here has been acknowledged; a row of the outbox at or below the position is never read again.
create table annals.relay_checkpoints (
  relay      text collate "C" not null,
  shard      integer          not null,
  shards     integer          not null,
  epoch      integer          not null default 0,
  xid        xid8             not null default '0',
  sequence   bigint           not null default 0,
  -- Everything of transactions below this one has been delivered.
  complete   xid8             not null default '0',
  updated_at timestamptz      not null default now(),
  constraint relay_checkpoints_pkey primary key (relay, shard)
);
