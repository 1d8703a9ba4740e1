select added, confirmed from annals.maintain_outbox()
