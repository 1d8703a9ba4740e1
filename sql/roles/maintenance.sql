-- Upkeep of the outbox's partitions: detaching one concurrently needs the owner's rights, and no function can do it. A member
-- acts as the owner.
do $$ begin create role annals_maintenance nologin; exception when duplicate_object or unique_violation then null; end $$;
do $$
begin
  execute format('grant %I to annals_maintenance', (select tableowner from pg_tables where schemaname = 'annals' and tablename = 'outbox'));
exception when others then
  raise warning 'annals_maintenance does not act for the owner: %', sqlerrm;
end
$$;
