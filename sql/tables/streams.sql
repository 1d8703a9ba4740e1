-- The tip of each stream, and the lock between its writers: whoever appends moves the tip from the version it has seen.
--
-- This table, the events and the outbox have no CHECK constraints: each would be read and planned anew for every row, a third
-- of the cost of an append. annals.append_event and annals.append_events, the only writers, check in their place
-- (annals.refuse_event has the rules).
create table annals.streams (
  stream_id   text collate "C" not null,
  category    text collate "C" not null,
  version     bigint           not null,
  -- The transaction of the last append. A later append has a higher one, or another epoch.
  epoch       integer          not null default 1,
  xid         xid8             not null,
  recorded_at timestamptz      not null,
  -- An archived stream takes no more events.
  archived    boolean          not null default false,
  constraint streams_pkey primary key (stream_id)
) with (fillfactor = 70);
