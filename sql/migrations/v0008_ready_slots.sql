-- A slot that is being made anew keeps its watermark and is not ready: what it missed is not published yet.
alter table annals.relay_slots add column ready boolean not null default true;

-- As before, but a partition is full once every transaction that has a number by then has ended: a snapshot's xmax is only
-- behind the last one that has completed, and others with higher numbers may run. annals.append takes its number before
-- it draws positions. Who calls says nothing of a slot that is not ready.
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
  if exists (select 1 from annals.outbox_partitions
             where full_xmax is null and beyond <= (select last_value from annals.position_seq)) then
    update annals.outbox_partitions set full_xmax = pg_current_xact_id()
     where full_xmax is null and beyond <= (select last_value from annals.position_seq);
  end if;
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
