#!/usr/bin/env python3
"""One transaction of ROWS (2,000,000) rows among small ones: the relay stays below 256 MiB."""
import os

from relay_world import peak, run, write_large

ROWS = int(os.environ.get("ROWS", "2000000"))


def scenario(world):
    world.wait_for_progress()
    write_large(world, ROWS)
    world.wait("the large transaction", lambda: world.delivered() > ROWS)
    return f"one transaction of {ROWS} rows, peak {peak(world)} MiB"


run(scenario)
