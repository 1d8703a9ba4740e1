-- The log: what happened, for good. Everything else that Annals shows can be made from this table again.
--
-- (epoch, xid, sequence) is storage order. Sequence numbers alone are not: a transaction that drew smaller ones may commit
-- later. Readers count in log indexes instead (annals.log_index).
create table annals.events (
  epoch          integer          not null default 1,
  xid            xid8             not null default pg_current_xact_id(),
  sequence       bigint           not null default nextval('annals.event_sequence'),
  stream_id      text collate "C" not null,
  version        bigint           not null,
  event_id       uuid             not null,
  type           text collate "C" not null,
  schema_version integer          not null,
  -- json, not jsonb: the text stays byte for byte as it was written.
  data           json             not null,
  metadata       json             not null,
  recorded_at    timestamptz      not null,
  constraint events_pkey primary key (epoch, xid, sequence),
  constraint events_stream_version_key unique (stream_id, version)
);

comment on table annals.events is 'Append-only log of domain events; streams are numbered from 1 without gaps.';

create trigger events_append_only before update or delete on annals.events
  for each row execute function annals.refuse_change();
create trigger events_no_truncate before truncate on annals.events
  for each statement execute function annals.refuse_change();
-- Also for sessions that apply a replication or an import.
alter table annals.events enable always trigger events_append_only, enable always trigger events_no_truncate;
