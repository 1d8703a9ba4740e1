"""What the programs that test and measure Annals share: the stack's addresses, the binary, a scratch database, programs
that are started and killed, the messages on a topic, and the checker of their order."""
