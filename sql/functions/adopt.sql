-- Makes this server the log's: after a restore, a copy, an upgrade of the cluster or an import. Nobody may write meanwhile.
--
-- Log indexes and what counts in them stay. Events without an index get positions in a new epoch, by the time of their
-- recording, so that they come after all that readers have seen. Whatever said something in transaction ids or places in the
-- WAL is void: relays publish what is left in the outbox again.
create or replace function annals.adopt(out epoch integer, out moved bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  prepared text := (select string_agg(quote_literal(gid), ', ') from pg_prepared_xacts where database = current_database());
begin
  if prepared is not null then
    raise exception 'prepared transactions may hold events: %', prepared
      using errcode = 'AN005', hint = 'Commit or roll back each one (commit prepared, rollback prepared).';
  end if;
  lock table annals.events in access exclusive mode;
  lock table annals.outbox in access exclusive mode;
  lock table annals.streams in access exclusive mode;
  update annals.log l
     set epoch = l.epoch + 1, adopted_at = now(), system_identifier = c.system_identifier, database_oid = d.oid
    from pg_control_system() c, pg_database d where d.datname = current_database()
  returning l.epoch into adopt.epoch;
  execute format('alter table annals.events alter column epoch set default %s', adopt.epoch);
  execute format('alter table annals.outbox alter column epoch set default %s', adopt.epoch);
  execute format('alter table annals.streams alter column epoch set default %s', adopt.epoch);
  -- A replication or an import brings rows and leaves the sequence behind.
  perform setval('annals.event_sequence', greatest((select last_value from annals.event_sequence),
                                                   (select max(sequence) from annals.events)));
  create temporary table unindexed on commit drop as
    select e.epoch, e.xid, e.sequence, row_number() over (order by e.recorded_at, e.stream_id, e.version) as n
      from annals.events e
     where not exists (select from annals.log_index i where (i.epoch, i.xid, i.sequence) = (e.epoch, e.xid, e.sequence));
  get diagnostics adopt.moved = row_count;
  perform annals.add_outbox_partitions(8 + (adopt.moved / 250000)::integer, 250000);
  create temporary table placed on commit drop as
    select u.epoch, u.xid, u.sequence, nextval('annals.event_sequence') as drawn
      from (select * from pg_temp.unindexed order by n) u;
  alter table annals.events disable trigger events_append_only;
  update annals.events e set epoch = default, xid = pg_current_xact_id(), sequence = p.drawn
    from pg_temp.placed p where (p.epoch, p.xid, p.sequence) = (e.epoch, e.xid, e.sequence);
  alter table annals.events enable always trigger events_append_only;
  -- Their indexes at once: they are one transaction now, and the sequencer divides none.
  insert into annals.log_index (index, epoch, xid, sequence, event_id, category, correlation)
  select coalesce((select max(i.index) from annals.log_index i), -1) + row_number() over (order by e.sequence), e.epoch, e.xid,
         e.sequence, e.event_id, split_part(e.stream_id, '-', 1),
         case when octet_length(e.metadata ->> 'correlation_id') <= 200 then e.metadata ->> 'correlation_id' end
    from annals.events e where e.epoch = adopt.epoch order by e.sequence;
  update annals.outbox o set epoch = default, xid = pg_current_xact_id(), sequence = p.drawn
    from pg_temp.placed p where (p.epoch, p.xid, p.sequence) = (o.epoch, o.xid, o.sequence);
  -- A connector's row says that its slot has been there: changes may be missing if it is gone.
  update annals.relays set ready = ready and feed = 'tables', watermark = null, watermark_lsn = null, published = '{}', published_lsn = null,
    epoch = null;
  update annals.relay_checkpoints set complete = '0';
  update annals.outbox_partitions set full_xmax = null, complete_at = null;
  delete from annals.relay_snapshots;
  -- Views may hold what history does not: all are built again.
  update annals.view_generations set state = 'void', reason = 'the log was adopted' where state in ('building', 'live', 'kept');
  drop table pg_temp.unindexed, pg_temp.placed;
end
$$;
