-- The log index: 0, 1, 2 … without gaps over all events, given once an event is final. Readers, checkpoints and cursors count
-- in it. Only annals.sequence_events writes here, so what other readers need lies here and not in the writers' way.
create table annals.log_index (
  index       bigint           not null,
  epoch       integer          not null,
  xid         xid8             not null,
  sequence    bigint           not null,
  event_id    uuid             not null,
  category    text collate "C" not null,
  correlation text collate "C",
  constraint log_index_pkey primary key (index)
);

create index log_index_category on annals.log_index (category, index);
create index log_index_correlation on annals.log_index (correlation, index) where correlation is not null;
-- Not unique: an id that somebody used twice must not stop the log.
create index log_index_event_id on annals.log_index (event_id);

create trigger log_index_append_only before update or delete on annals.log_index
  for each row execute function annals.refuse_change();
create trigger log_index_no_truncate before truncate on annals.log_index
  for each statement execute function annals.refuse_change();
alter table annals.log_index enable always trigger log_index_append_only, enable always trigger log_index_no_truncate;
