select id, epoch from annals.log
