-- Keeps room for new rows, notes which partitions are complete, and names those that every registered relay has: whoever
-- called detaches and drops them (that cannot be done in a function). Without a relay nothing goes. Any process may call it
-- at any time: one of several at once does the work.
create or replace function annals.maintain_outbox()
returns table (added integer, confirmed text[])
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  -- Read before this transaction draws its id: whoever wrote below it has a lower one.
  head  bigint := (select last_value from annals.event_sequence);
  today integer;
begin
  added := 0;
  confirmed := '{}';
  if not pg_try_advisory_xact_lock(hashtext('annals.maintain_outbox'), 0) then return next; return; end if;
  perform annals.check_server();
  added := annals.add_outbox_partitions(8, 250000);
  -- A partition is full once every transaction that has a number by now has ended: a snapshot's xmax is only behind the last
  -- one that has completed, and others with higher numbers may run. Appends take their number before they draw from the
  -- sequence.
  if exists (select from annals.outbox_partitions
              where full_xmax is null and beyond <= head) then
    update annals.outbox_partitions set full_xmax = pg_current_xact_id()
     where full_xmax is null and beyond <= head;
  end if;
  update annals.outbox_partitions set complete_at = pg_current_wal_insert_lsn()
   where complete_at is null and full_xmax <= pg_snapshot_xmin(pg_current_snapshot());
  if exists (select from annals.relays where feed = 'outbox') then
    confirmed := coalesce((
      select array_agg(p.name order by p.first) from annals.outbox_partitions p
       where p.complete_at is not null
         and not exists (
           select from annals.relays r
             left join pg_replication_slots s on s.slot_name = r.relay and s.database = current_database()
            where r.feed = 'outbox' and r.source = 'wal' and (not r.ready or s.confirmed_flush_lsn is null or s.confirmed_flush_lsn < p.complete_at)
               or r.source = 'table' and not exists (select from annals.relay_checkpoints c where c.relay = r.relay))
         and not exists (select from annals.relay_checkpoints c where c.complete < p.full_xmax)), '{}');
  end if;
  perform set_config('lock_timeout', '100ms', true);
  -- The part after the next: the day may turn while this waits.
  today := mod((extract(epoch from clock_timestamp()) / 86400)::bigint, 4);
  begin
    case mod(today + 2, 4)
      when 0 then if exists (select from annals.commands_0) then truncate annals.commands_0; end if;
      when 1 then if exists (select from annals.commands_1) then truncate annals.commands_1; end if;
      when 2 then if exists (select from annals.commands_2) then truncate annals.commands_2; end if;
      else if exists (select from annals.commands_3) then truncate annals.commands_3; end if;
    end case;
  exception when lock_not_available then null;  -- the next call tries again
  end;
  return next;
end
$$;
