select coalesce(has_table_privilege(to_regclass('annals.relays'), 'select')
            and has_table_privilege(to_regclass('annals.relays'), 'insert')
            and has_table_privilege(to_regclass('annals.relays'), 'update'), false)
