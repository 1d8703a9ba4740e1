select pg_notify('annals_views', $1)
