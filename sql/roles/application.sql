-- Services and projections: they append by functions and read. No login of its own: grant it to the roles that log in.
do $$ begin
  if not exists (select from pg_roles where rolname = 'annals_application') then create role annals_application nologin; end if;
exception when duplicate_object or unique_violation then null;  -- another database of the cluster made it
end $$;
grant usage on schema annals to annals_application;
grant select on all tables in schema annals to annals_application;
grant select on sequence annals.event_sequence to annals_application;
grant insert, update on annals.checkpoints, annals.snapshots to annals_application;
grant insert, update on annals.view_generations, annals.parked_changes to annals_application;
grant insert, update on annals.document_views, annals.document_views_by_day to annals_application;
grant insert, update, delete on annals.due_times, annals.webhook_queues, annals.webhook_attempts, annals.webhook_replays, annals.spans to annals_application;
grant delete on annals.snapshots, annals.checkpoints to annals_application;
grant update (archived) on annals.streams to annals_application;
grant update on annals.parked_messages to annals_application;
grant execute on function annals.append_event, annals.append_events, annals.sequence_events, annals.check_server,
  annals.maintain_outbox, annals.note_parked to annals_application;
