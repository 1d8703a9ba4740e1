#!/usr/bin/env python3
"""The broker stands still for 20 s while 300,000 rows are written: memory stays bounded, and the relay says what it waits
for. Needs a real Kafka."""
import os
import signal
import sys
import time

from relay_world import peak, run, stack, write_large

ROWS = 300_000


def scenario(world):
    world.wait_for_progress()
    with open(os.path.join(stack.ROOT, ".stack", "test", "kafka", "kafka-1", "pid")) as file:
        broker = int(file.read())
    os.kill(broker, signal.SIGSTOP)
    try:
        write_large(world, ROWS)
        time.sleep(20)
        problem = world.relay.ask("/readyz")
    finally:
        os.kill(broker, signal.SIGCONT)
    if "Kafka has acknowledged nothing" not in problem:
        sys.exit(f"/readyz says {problem}")
    world.wait("the large transaction", lambda: world.delivered() > ROWS)
    return f"the broker stood still for 20 s, peak {peak(world)} MiB; {problem}"


stack.need_engines("this scenario")
run(scenario)
