select count(*) from annals.streams where stream_id > $1 || '-' and stream_id < $1 || '.'
