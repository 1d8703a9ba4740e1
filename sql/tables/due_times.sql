-- When something happens to an aggregate by itself: an end, a reminder. Noted before the event that makes it so; what really is due is
-- the aggregate's to say.
create table annals.due_times (
  category text not null,
  stream_id text not null,
  due_at timestamptz not null,
  noted_at timestamptz not null default now(),
  primary key (category, stream_id)
);
create index due_times_due_at on annals.due_times (category, due_at);
