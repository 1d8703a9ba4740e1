select stream_id, version from annals.streams where stream_id = any ($1::text[])
