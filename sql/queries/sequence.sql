select sequenced, newest from annals.sequence_events(maximum => $1, patience => make_interval(secs => $2))
