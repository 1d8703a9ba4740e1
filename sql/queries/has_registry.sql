select to_regclass('annals.relays') is not null
