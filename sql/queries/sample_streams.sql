select stream_id from annals.streams where stream_id > $1 || '-' and stream_id < $1 || '.' order by random() limit $2
