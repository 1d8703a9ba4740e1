#!/usr/bin/env python3
"""The slot is dropped again and again while the relay is away: nothing is lost, and the order holds."""
import os

from relay_world import pause, run

DROPS = int(os.environ.get("DROPS", "10"))


def scenario(world):
    for _ in range(DROPS):
        world.wait_for_progress()
        pause(0.5)
        world.relay.kill()
        world.wait("the slot's being free", lambda: world.sql(
            f"select count(*) from pg_replication_slots where slot_name = '{world.run}' and active") == "0")
        world.sql(f"select pg_drop_replication_slot('{world.run}')")
        pause(0.5)  # what is written now is in no slot
        world.recover()
    return f"{DROPS} times the slot dropped"


run(scenario)
