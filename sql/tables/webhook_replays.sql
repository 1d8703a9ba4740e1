-- Ranges of the log that are sent to a webhook once more: one at a time.
create table annals.webhook_replays (
  webhook uuid   primary key,
  -- The index that is read next, and the one at which it ends.
  next    bigint not null,
  before  bigint not null
);
