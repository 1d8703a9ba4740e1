select epoch, moved from annals.adopt()
