select request, answer from annals.commands where key = $1 limit 1
