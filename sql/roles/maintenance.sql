-- Upkeep of the outbox's partitions: detaching one concurrently needs the owner's rights, and no function can do it. A member
-- acts as the owner.
do $$ begin
  if not exists (select from pg_roles where rolname = 'annals_maintenance') then create role annals_maintenance nologin; end if;
exception when duplicate_object or unique_violation then null;  -- another database of the cluster made it
end $$;
do $$
begin
  execute format('grant %I to annals_maintenance', (select tableowner from pg_tables where schemaname = 'annals' and tablename = 'outbox'));
exception when invalid_grant_operation or insufficient_privilege then  -- the owner is a member itself, or may not grant itself
  raise warning 'annals_maintenance does not act for the owner: %', sqlerrm;
end
$$;
