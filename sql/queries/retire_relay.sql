select annals.forget_relay(name => $1)
