-- An auditor reads the log, and nothing else.
do $$ begin create role annals_auditor nologin; exception when duplicate_object or unique_violation then null; end $$;
grant usage on schema annals to annals_auditor;
grant select on annals.log, annals.streams, annals.events, annals.log_index to annals_auditor;
