#!/usr/bin/env python3
"""The relay moves to a standby that was promoted, where its slot does not exist: nothing is lost, the order holds.

The standby has all that the primary had when its writers stopped; its slots are its own: none."""
import os
import time

from relay_world import PORT, run
from Rig.cluster import Cluster


def scenario(world):
    standby = Cluster(os.path.join(world.folder, "standby"), PORT + 20_000, world.server)
    standby.copy(world.server)
    standby.start()
    world.at_end.append(lambda: standby.stop("immediate"))
    world.wait_for_progress()
    world.writer.stop()
    end = world.sql("select pg_current_wal_lsn()")
    world.server = standby.server
    world.wait("the standby", lambda: world.sql(f"select pg_last_wal_replay_lsn() >= '{end}'") == "t")
    world.relay.kill()
    standby.promote()
    world.environment["ANNALS_POSTGRES_URL"] = world.database_url
    world.writer.start()
    time.sleep(1)
    world.recover()
    world.wait_for_progress()
    return "moved to a promoted standby"


run(scenario)
