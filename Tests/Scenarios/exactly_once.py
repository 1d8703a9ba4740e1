#!/usr/bin/env python3
"""delivery=exactly-once under SIGKILL at random moments: a consumer of committed messages sees each event once, in order.

  exactly_once.py [wal|table]     the relay's source; KILLS (100) and RATE (600 events a second) from the environment
"""
import os
import sys

from relay_world import pause, run

KILLS = int(os.environ.get("KILLS", "100"))


def scenario(world):
    for _ in range(KILLS):
        world.wait_for_progress()
        pause(0.4)
        world.relay.kill()
        world.recover()
    return f"{world.relay.kills} kills"


run(scenario, doubles_allowed=False, ANNALS_RELAY_DELIVERY="exactly-once",
    ANNALS_RELAY_SOURCE=sys.argv[1] if len(sys.argv) > 1 else "wal")
