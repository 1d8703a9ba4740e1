select pg_has_role('pg_read_all_stats', 'usage')
