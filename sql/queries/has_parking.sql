select to_regclass('annals.parked_messages') is not null
