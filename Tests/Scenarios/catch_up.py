#!/usr/bin/env python3
"""16 writers, and the relay counts as far behind at once: it reads the outbox from the table again and again, under
SIGKILL (KILLS, 30) at random moments. Nothing is lost, the order holds, and only a kill causes doubles."""
import os
import time

from relay_world import pause, run

KILLS = int(os.environ.get("KILLS", "30"))


def catch_ups(world):
    return world.relay.metric("annals_relay_catch_ups_total")


def scenario(world):
    times = 0
    for number in range(KILLS):
        pause(1.5)
        times += catch_ups(world)
        world.relay.kill()
        time.sleep(0.2)  # it falls behind
        pause(0.8)
        # The figures need some; the others are killed wherever they are.
        world.recover() if number % 5 == 4 else world.relay.start()
    world.wait("the last catch-up", lambda: catch_ups(world) > 0)
    world.calm_since = time.time() * 1_000
    for _ in range(5):
        world.relay.stop()
        time.sleep(1.5)
        world.relay.start()
        world.wait("a catch-up", lambda: catch_ups(world) > 0)
        times += 1
    return f"caught up from the table {times:.0f} times or more, {KILLS} kills"


run(scenario, clients=16, rate=os.environ.get("RATE", "4000"), ANNALS_RELAY_CATCH_UP="64KiB")
