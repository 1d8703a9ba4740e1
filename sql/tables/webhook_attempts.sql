-- What webhooks were sent, and what they said to it. Kept for a time.
create table annals.webhook_attempts (
  id           bigint           generated always as identity primary key,
  webhook      uuid             not null,
  message      text collate "C" not null,
  event        uuid             not null,
  document     uuid             not null,
  version      bigint           not null,
  -- Of this message, from 1 on.
  number       smallint         not null,
  at           timestamptz      not null,
  milliseconds integer          not null,
  -- null: there was no answer.
  status       smallint,
  -- Why it failed; null: it did not.
  problem      text
);
create index webhook_attempts_webhook on annals.webhook_attempts (webhook, id);
create index webhook_attempts_document on annals.webhook_attempts (webhook, document, id);
create index webhook_attempts_event on annals.webhook_attempts (event);
