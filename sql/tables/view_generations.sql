-- The generations of each view: a rebuild writes the next one beside the live one, and they change places in one step.
create table annals.view_generations (
  view         text collate "C" not null,
  generation   integer          not null,
  -- The version of the view's entries (View.form).
  form         integer          not null,
  -- The log's epoch when the generation was begun.
  epoch        integer          not null,
  state        text             not null default 'building',
  -- {"topic": {"partition": offset}}: what comes before is in the log that was read, or has been applied since.
  offsets      jsonb            not null default '{}',
  -- The last stream that was read while it was built; null: none yet.
  built_to     text collate "C",
  streams      bigint           not null default 0,
  reason       text             not null,
  begun_at     timestamptz      not null default now(),
  activated_at timestamptz,
  constraint view_generations_pkey primary key (view, generation),
  -- building, live, kept (the one before, for a way back), void (nobody may use it; its store is to be dropped), dropped
  -- Checked at the end of a transaction: two generations change places in one statement.
  constraint view_generations_live_excl exclude (view with =) where (state = 'live') deferrable initially deferred,
  constraint view_generations_state_check check (state in ('building', 'live', 'kept', 'void', 'dropped'))
);
create unique index view_generations_building on annals.view_generations (view) where state = 'building';
