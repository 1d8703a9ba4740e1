-- The answers to commands that carried a key (Idempotency-Key). A row is written in the transaction of the command's events.
-- The four parts are the days' in turn: annals.maintain_outbox empties the one after the next, so a key lives for one to two
-- days.
create table annals.commands (
  part        smallint         not null,
  key         text collate "C" not null,
  -- SHA-256 of what was asked.
  request     bytea            not null,
  answer      json             not null,
  recorded_at timestamptz      not null,
  constraint commands_pkey primary key (part, key)
) partition by list (part);

create table annals.commands_0 partition of annals.commands for values in (0);
create table annals.commands_1 partition of annals.commands for values in (1);
create table annals.commands_2 partition of annals.commands for values in (2);
create table annals.commands_3 partition of annals.commands for values in (3);
