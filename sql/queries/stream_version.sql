select version from annals.streams where stream_id = $1
