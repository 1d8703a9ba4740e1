-- The outbox: each event as the relay publishes it. Rows are written beside their events, in the same transaction, and
-- stay until the relay has confirmed them. They then go by whole partitions: nothing is ever deleted row by row, so the
-- table does not bloat. There is no default partition: a row without a home fails its transaction loudly.
create table annals.outbox (
  xid            xid8        not null default pg_current_xact_id(),
  position       bigint      not null,
  aggregate_type text        not null,
  key            text        not null,
  op             "char"      not null,
  -- json, not jsonb: the relay splices these bytes into its messages, in the order in which they were written.
  before         json,
  after          json,
  event_id       uuid        not null,
  type           text        not null,
  version        bigint      not null,
  headers        json,
  recorded_at    timestamptz not null,
  constraint outbox_pkey primary key (xid, position),
  constraint outbox_op_check check (op in ('c', 'u', 'd'))
) partition by range (position);

-- What is known of each partition on its way out. A partition is full once the sequence has passed it; complete once
-- every transaction that could still write to it has ended; and may go once the relay has confirmed all that was in
-- the WAL by then.
create table annals.outbox_partitions (
  name        text   primary key,
  first       bigint not null,
  beyond      bigint not null unique,
  full_xmax   xid8,
  complete_at pg_lsn
);

-- Replication slots behind which nothing is missing: what the outbox held when the slot was made has been published.
create table annals.relay_slots (
  slot     text        primary key,
  start    pg_lsn      not null,
  ready_at timestamptz not null default now()
);

create function annals.add_outbox_partitions(wanted integer, size bigint) returns integer
language plpgsql set search_path = pg_catalog as $$
declare
  head  bigint := (select last_value from annals.position_seq);
  start bigint := coalesce((select max(beyond) from annals.outbox_partitions), 1);
  added integer := 0;
  part  text;
begin
  while (select count(*) from annals.outbox_partitions where beyond > head) < wanted loop
    part := 'outbox_' || lpad(start::text, 19, '0');
    -- Made apart and attached: that waits for nobody who writes to the outbox, "create … partition of" would.
    execute format('create table annals.%I (like annals.outbox including defaults including constraints)', part);
    execute format('alter table annals.%I add constraint within check (position >= %s and position < %s)',
                   part, start, start + size);
    execute format('alter table annals.outbox attach partition annals.%I for values from (%s) to (%s)',
                   part, start, start + size);
    execute format('alter table annals.%I drop constraint within', part);
    insert into annals.outbox_partitions (name, first, beyond) values (part, start, start + size);
    start := start + size;
    added := added + 1;
  end loop;
  return added;
end
$$;

-- Keeps room for new rows and drops partitions that are confirmed as a whole. Any process may call it at any time: one
-- of several at once does the work. `confirmed` is how far the relay has confirmed; null drops nothing.
create function annals.maintain_outbox(confirmed pg_lsn, wanted integer default 8, size bigint default 250000)
returns table (added integer, dropped integer)
language plpgsql set search_path = pg_catalog as $$
declare
  part record;
begin
  added := 0;
  dropped := 0;
  if not pg_try_advisory_xact_lock(hashtext('annals.maintain_outbox')) then return next; return; end if;
  added := annals.add_outbox_partitions(wanted, size);
  update annals.outbox_partitions set full_xmax = pg_snapshot_xmax(pg_current_snapshot())
   where full_xmax is null and beyond <= (select last_value from annals.position_seq);
  update annals.outbox_partitions set complete_at = pg_current_wal_insert_lsn()
   where complete_at is null and full_xmax <= pg_snapshot_xmin(pg_current_snapshot());
  perform set_config('lock_timeout', '500ms', true);
  for part in select name from annals.outbox_partitions where complete_at <= confirmed order by first loop
    begin
      execute format('drop table annals.%I', part.name);
      delete from annals.outbox_partitions where name = part.name;
      dropped := dropped + 1;
    exception when lock_not_available then exit;  -- the next call tries again
    end;
  end loop;
  return next;
end
$$;

select annals.add_outbox_partitions(8, 250000);
