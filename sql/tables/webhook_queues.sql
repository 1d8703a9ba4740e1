-- Documents of which a webhook is still to be told. The messages are made from the log: here is only how far each document has come, so
-- that a webhook that does not answer costs a row for each document, however often it changes.
create table annals.webhook_queues (
  webhook   uuid        not null,
  document  uuid        not null,
  -- The version of the event that is sent next, how many of its messages were sent, and the newest event that is to be sent.
  next      bigint      not null,
  sent      smallint    not null default 0,
  newest    bigint      not null,
  -- How often the next message has failed.
  failures  smallint    not null default 0,
  due_at    timestamptz not null default now(),
  -- Why it is tried no more; null: it is.
  parked    text,
  parked_at timestamptz,
  primary key (webhook, document)
);
create index webhook_queues_due on annals.webhook_queues (webhook, due_at) where parked is null;
create index webhook_queues_parked on annals.webhook_queues (webhook, document) where parked is not null;
