select version, state from annals.snapshots where stream_id = $1 and folded_by = $2
