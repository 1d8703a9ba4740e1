select name, checksum from annals.definitions
