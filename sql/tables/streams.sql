-- The tip of each stream, and the lock between its writers: whoever appends moves the tip from the version it has seen.
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
  constraint streams_pkey primary key (stream_id),
  constraint streams_category_check check (category <> '' and strpos(category, '-') = 0),
  constraint streams_stream_id_check check (starts_with(stream_id, category || '-') and length(stream_id) > length(category) + 1),
  constraint streams_version_check check (version > 0)
) with (fillfactor = 70);

create index streams_category on annals.streams (category, stream_id);
