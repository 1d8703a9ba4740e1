select index from annals.log_index order by index desc limit 1
