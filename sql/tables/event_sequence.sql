-- The order of events inside a transaction. One sequence numbers events and outbox rows alike.
create sequence annals.event_sequence as bigint;
