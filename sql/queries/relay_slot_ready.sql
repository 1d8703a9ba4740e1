select 1 from annals.relays where relay = $1 and source = 'wal' and feed = 'outbox' and ready
