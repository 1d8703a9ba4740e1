-- An auditor reads the log, and nothing else.
do $$ begin
  if not exists (select from pg_roles where rolname = 'annals_auditor') then create role annals_auditor nologin; end if;
exception when duplicate_object or unique_violation then null;  -- another database of the cluster made it
end $$;
grant usage on schema annals to annals_auditor;
grant select on annals.log, annals.streams, annals.events, annals.log_index to annals_auditor;
