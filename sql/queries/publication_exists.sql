select pubinsert, pubviaroot from pg_publication where pubname = $1
