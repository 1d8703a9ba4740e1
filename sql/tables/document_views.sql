-- How often documents were read, as Redis had counted it a minute or two before: all that is left if Redis loses everything.
create table annals.document_views (
  document uuid primary key,
  views bigint not null,
  visitors bytea not null,  -- a HyperLogLog, as Redis keeps it
  saved_at timestamptz not null
);
create index document_views_saved_at on annals.document_views (saved_at);
-- The same by day (UTC), for what is read most.
create table annals.document_views_by_day (
  document uuid not null,
  day date not null,
  views bigint not null,
  last_minute bigint not null,  -- the newest minute that is in it, since 1970: one that comes again counts nothing
  primary key (document, day)
);
create index document_views_by_day_day on annals.document_views_by_day (day);
