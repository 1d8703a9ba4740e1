-- The last of the next streams of a category, and how many they are: '.' is the byte after '-'.
select max(stream_id), count(*) from (
  select stream_id from annals.streams where stream_id > greatest($2, $1 || '-') and stream_id < $1 || '.' order by stream_id limit $3
) s having count(*) > 0
