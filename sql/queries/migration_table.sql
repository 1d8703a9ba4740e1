create schema if not exists annals;
create table if not exists annals.migrations (
  version    integer     not null,
  name       text        not null,
  checksum   text        not null,
  applied_at timestamptz not null default now(),
  constraint migrations_pkey primary key (version)
);
-- Functions and roles: each is applied again when its text changes, but not by a program that has an older revision of it.
create table if not exists annals.definitions (
  name       text        not null,
  revision   integer     not null,
  checksum   text        not null,
  applied_at timestamptz not null default now(),
  constraint definitions_pkey primary key (name)
);
