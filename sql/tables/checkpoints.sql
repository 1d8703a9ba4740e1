-- How far the readers of the log have come.
create table annals.checkpoints (
  reader     text collate "C" not null,
  log_id     uuid             not null,
  -- The next index to read.
  index      bigint           not null,
  -- The event before it. A log that has another one there, or none, has lost its tail or is another log.
  event_id   uuid,
  updated_at timestamptz      not null default now(),
  constraint checkpoints_pkey primary key (reader),
  constraint checkpoints_event_id_check check ((index = 0) = (event_id is null))
);
