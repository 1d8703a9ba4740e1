-- Streams whose change a generation of a view refused. Later changes of the stream wait with it; a retry folds the stream from the log, so the
-- messages themselves are not kept.
create table annals.parked_changes (
  id         bigint           generated always as identity primary key,
  view       text collate "C" not null,
  generation integer          not null,
  stream_id  text collate "C" not null,
  -- The first version that was refused, and the newest that waits.
  version    bigint           not null,
  newest     bigint           not null,
  reason     text             not null,
  state      text             not null default 'parked',
  requested  text,
  -- [{"at", "what", "reason"}], oldest first.
  history    jsonb            not null default '[]',
  parked_at  timestamptz      not null default now(),
  settled_at timestamptz,
  constraint parked_changes_state_check check (state in ('parked', 'delivered', 'skipped', 'dropped')),
  constraint parked_changes_requested_check check (requested in ('retry', 'skip', 'drop'))
);
create unique index parked_changes_waiting on annals.parked_changes (view, generation, stream_id) where state = 'parked';
