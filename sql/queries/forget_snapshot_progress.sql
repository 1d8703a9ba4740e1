delete from annals.relay_snapshots where slot = $1
