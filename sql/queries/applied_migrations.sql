select version, name, checksum from annals.migrations order by version
