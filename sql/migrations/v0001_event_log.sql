-- The event log: what happened, for good. Everything else that Annals shows can be made from this table again.
create schema if not exists annals;

create sequence annals.position_seq as bigint;

create table annals.events (
  -- (xid, position) is the order in which readers see the log. Positions alone are not: a transaction that took a
  -- smaller one may commit later.
  xid            xid8        not null default pg_current_xact_id(),
  position       bigint      not null,
  stream_id      text        not null,
  category       text        not null,
  version        bigint      not null,
  event_id       uuid        not null,
  type           text        not null,
  schema_version integer     not null,
  data           jsonb       not null,
  metadata       jsonb       not null,
  recorded_at    timestamptz not null,
  -- SHA-256 over the hash of the stream's event before and this event's own fields: see annals.event_hash.
  hash           bytea       not null,
  constraint events_pkey primary key (xid, position),
  constraint events_stream_version_key unique (stream_id, version),
  constraint events_event_id_key unique (event_id),
  constraint events_version_check check (version > 0)
);

comment on table annals.events is 'Append-only log of domain events; streams are numbered from 1 without gaps.';

create function annals.refuse_change() returns trigger language plpgsql as $$
begin
  raise exception 'annals.% is append-only: % refused', tg_table_name, tg_op
    using errcode = 'AN001', hint = 'Append an event that corrects the earlier one.';
end
$$;

create trigger events_append_only before update or delete on annals.events
  for each row execute function annals.refuse_change();
create trigger events_no_truncate before truncate on annals.events
  for each statement execute function annals.refuse_change();

-- The link of a stream's hash chain. Postgres' jsonb has one text for equal values, so the hash can be made again from
-- what is stored.
create function annals.event_hash(
  previous bytea, stream_id text, version bigint, event_id uuid, type text, schema_version integer, data jsonb,
  metadata jsonb, recorded_at timestamptz
) returns bytea language sql stable parallel safe as $$
  select sha256(coalesce(previous, '') || convert_to(jsonb_build_array(
    stream_id, version, event_id, type, schema_version, data, metadata,
    to_char(recorded_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))::text, 'UTF8'))
$$;
