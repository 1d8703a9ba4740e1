select name, revision, checksum from annals.definitions
