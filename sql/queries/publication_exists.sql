select pubinsert, pubviaroot, puballtables from pg_publication where pubname = $1
