-- The identity of this log, in one row. Transaction ids mean something in one cluster and one database only: a server that
-- is not this one is a stranger until `annals adopt` has raised the epoch (annals.check_server, annals.adopt).
create table annals.log (
  id                uuid        not null default gen_random_uuid(),
  epoch             integer     not null default 1,
  system_identifier bigint      not null,
  database_oid      oid         not null,
  created_at        timestamptz not null default now(),
  adopted_at        timestamptz,
  is_only           boolean     not null default true,
  constraint log_pkey primary key (is_only),
  constraint log_is_only_check check (is_only)
);

insert into annals.log (system_identifier, database_oid)
select c.system_identifier, d.oid from pg_control_system() c, pg_database d where d.datname = current_database();
