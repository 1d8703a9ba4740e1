-- Adds partitions to the outbox until `wanted` of them have room. Numbers that nobody will draw any more get none: after an
-- import or a restore the sequence may be far ahead.
create or replace function annals.add_outbox_partitions(wanted integer, size bigint) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  head  bigint := (select last_value from annals.event_sequence);
  start bigint := greatest((select max(beyond) from annals.outbox_partitions), head / size * size + 1);
  added integer := 0;
  part  text;
begin
  while (select count(*) from annals.outbox_partitions where beyond > head) < wanted loop
    part := 'outbox_' || lpad(start::text, 19, '0');
    -- Made apart and attached: that waits for nobody who writes to the outbox, "create … partition of" would.
    execute format('create table annals.%I (like annals.outbox including defaults including constraints)', part);
    execute format('alter table annals.%I add constraint within check (sequence >= %s and sequence < %s)',
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
