update annals.streams set archived = $2 where stream_id = $1 returning version
