-- The trigger of append-only tables.
create or replace function annals.refuse_change() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  raise exception 'annals.% is append-only: % refused', tg_table_name, tg_op
    using errcode = 'AN001', hint = 'Append an event that corrects the earlier one.';
end
$$;
