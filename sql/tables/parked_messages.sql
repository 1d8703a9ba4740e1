-- Messages that could not be delivered, and what waits behind them: a key is parked while one of its messages is. The
-- relay writes them instead of sending them, before it confirms their transaction; the operator decides.
create table annals.parked_messages (
  id         bigint      generated always as identity primary key,
  relay      text        not null,
  topic      text        not null,
  partition  integer,
  key        bytea,
  value      bytea,
  headers    jsonb       not null,
  timestamp  bigint,
  -- The order of a key's messages, whenever each was parked: the event's number in the outbox, or the place in the WAL.
  place      bigint      not null,
  -- What the message comes from (lsn 16/B374D848, event 17, row 3 of …), and its index among the messages of this source:
  -- it is parked once, however often the relay begins anew.
  source     text        not null,
  ordinal    integer     not null,
  reason     text        not null,
  state      text        not null default 'parked',
  -- The operator wants the key's messages sent now.
  requested  boolean     not null default false,
  -- [{"at", "what", "reason"}], oldest first.
  history    jsonb       not null default '[]',
  parked_at  timestamptz not null default now(),
  settled_at timestamptz,
  constraint parked_messages_source_key unique (relay, source, ordinal),
  constraint parked_messages_state_check check (state in ('parked', 'delivered', 'skipped', 'dropped'))
);
create index parked_messages_waiting on annals.parked_messages (relay, topic, key, place, ordinal) where state = 'parked';
