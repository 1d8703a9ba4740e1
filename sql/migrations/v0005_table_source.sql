-- How far relays have come that read the outbox from the table. A relay in several parts, by the keys' hash, has a row for
-- each. What is in here has been acknowledged; a row of the outbox at or below (xid, position) is never read again.
create table annals.relay_checkpoints (
  relay      text        not null,
  shard      integer     not null,
  shards     integer     not null,
  xid        xid8        not null default '0',
  position   bigint      not null default 0,
  -- Everything of transactions below this one has been delivered.
  complete   xid8        not null default '0',
  updated_at timestamptz not null default now(),
  constraint relay_checkpoints_pkey primary key (relay, shard)
);

-- A notification is only a wake-up for relays that read the table, and costs every writer something: the trigger is there
-- while such a relay is.
create function annals.notify_outbox() returns trigger language plpgsql as $$
begin
  perform pg_notify('annals_outbox', '');
  return null;
end
$$;

create function annals.wake_by_notification(wanted boolean) returns boolean
language plpgsql security definer set search_path = pg_catalog as $$
declare
  there boolean := exists (select 1 from pg_trigger
                           where tgrelid = 'annals.outbox'::regclass and tgname = 'wake_relay');
begin
  if wanted and not there then
    create trigger wake_relay after insert on annals.outbox for each statement execute function annals.notify_outbox();
  elsif there and not wanted then
    drop trigger wake_relay on annals.outbox;
  end if;
  return wanted <> there;
end
$$;

-- As before, and a partition goes only once every relay that reads the table is past it. Without a slot those decide alone.
create or replace function annals.maintain_outbox(confirmed pg_lsn, wanted integer default 8, size bigint default 250000)
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
  for part in
    select p.name from annals.outbox_partitions p
    where p.complete_at is not null
      and (p.complete_at <= confirmed or confirmed is null and exists (select 1 from annals.relay_checkpoints))
      and not exists (select 1 from annals.relay_checkpoints c where c.complete < p.full_xmax)
    order by p.first
  loop
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
