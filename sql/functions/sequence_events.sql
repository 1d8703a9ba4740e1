-- Gives log indexes to the events that are final: of earlier epochs, or of transactions below every running one. No event can
-- appear before them any more. A call takes about `maximum` of them and ends where a transaction ends, so that a reader up
-- to the newest index sees whole transactions. Any session may call at any time: one works, the others get null. With
-- `patience` a call does nothing, and gets null, unless an event has waited that long: who stands by takes over then.
--
-- `newest` is the newest index, -1 for an empty log.
create or replace function annals.sequence_events(
  maximum integer default 5000, patience interval default null, out sequenced integer, out newest bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  last  record;
  bound record;
begin
  -- Each statement must see what has been committed by then.
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'annals.sequence_events runs in read committed transactions only' using errcode = 'AN003';
  end if;
  if not pg_try_advisory_xact_lock(hashtext('annals.sequence_events'), 0) then return; end if;
  if current_setting('annals.server', true) is distinct from 'known' then perform annals.check_server(); end if;
  select i.index, i.epoch, i.xid, i.sequence into last from annals.log_index i order by i.index desc limit 1;
  if not found then select -1::bigint as index, 0 as epoch, '0'::xid8 as xid, 0::bigint as sequence into last; end if;
  if patience is not null and not exists (
    select from (
      select e.recorded_at from annals.events e
       where (e.epoch, e.xid, e.sequence) > (last.epoch, last.xid, last.sequence)
         and (e.epoch, e.xid) < ((select l.epoch from annals.log l), pg_snapshot_xmin(pg_current_snapshot()))
       order by e.epoch, e.xid, e.sequence limit 1) f
     -- A time in the future is a clock that was set back, and has waited too.
     where f.recorded_at not between clock_timestamp() - patience and clock_timestamp() + patience) then
    return;
  end if;
  sequenced := 0;
  newest := last.index;
  select f.epoch, f.xid into bound from (
    select e.epoch, e.xid from annals.events e
     where (e.epoch, e.xid, e.sequence) > (last.epoch, last.xid, last.sequence)
       and (e.epoch, e.xid) < ((select l.epoch from annals.log l), pg_snapshot_xmin(pg_current_snapshot()))
     order by e.epoch, e.xid, e.sequence limit maximum) f
   order by f.epoch desc, f.xid desc limit 1;
  if not found then return; end if;
  insert into annals.log_index (index, epoch, xid, sequence, event_id, category, correlation)
  select last.index + row_number() over (order by e.epoch, e.xid, e.sequence), e.epoch, e.xid, e.sequence, e.event_id,
         split_part(e.stream_id, '-', 1),
         -- A longer one would not fit into the index, and must not stop the log.
         case when octet_length(e.metadata ->> 'correlation_id') <= 200 then e.metadata ->> 'correlation_id' end
    from annals.events e
   where (e.epoch, e.xid, e.sequence) > (last.epoch, last.xid, last.sequence) and (e.epoch, e.xid) <= (bound.epoch, bound.xid)
   order by e.epoch, e.xid, e.sequence;
  get diagnostics sequenced = row_count;
  newest := last.index + sequenced;
  perform pg_notify('annals_log', newest::text);
end
$$;
