-- Folded states, so that a long stream need not be read from its beginning. They may be deleted at any time.
create table annals.snapshots (
  stream_id text collate "C" not null,
  version   bigint           not null,
  -- The decider's version: a state that another one folded is not used.
  folded_by integer          not null,
  state     json             not null,
  taken_at  timestamptz      not null default now(),
  constraint snapshots_pkey primary key (stream_id)
);
