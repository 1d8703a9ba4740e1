-- What was done for traced requests, kept for a time.
create table annals.spans (
  id         bigint           generated always as identity primary key,
  trace      uuid             not null,
  span       bigint           not null,
  parent     bigint,
  name       text             not null,
  kind       smallint         not null,
  -- Which process has done it.
  process    text             not null,
  begun      timestamptz      not null,
  ended      timestamptz      not null,
  -- Why it failed; null: it did not.
  failure    text,
  attributes json             not null
);
create index spans_trace on annals.spans (trace);
