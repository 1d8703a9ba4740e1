select coalesce(has_table_privilege(to_regclass('annals.relay_snapshots'), 'select')
            and has_table_privilege(to_regclass('annals.relay_snapshots'), 'insert')
            and has_table_privilege(to_regclass('annals.relay_snapshots'), 'delete'), false)
