-- A category's streams lie together in the primary key: '.' is the byte after '-'.
select stream_id from annals.streams
where stream_id > greatest($2, $1 || '-') and stream_id < $1 || '.'
order by stream_id
limit $3
