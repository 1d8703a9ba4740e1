-- True once every transaction below a number has ended: what was published by then is visible.
select pg_snapshot_xmin(pg_current_snapshot()) > $1
