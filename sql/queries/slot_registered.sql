select feed, source = 'wal' and ready from annals.relays where relay = $1
