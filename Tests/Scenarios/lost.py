#!/usr/bin/env python3
"""The server gives the slot up (max_slot_wal_keep_size): the relay makes a new one, nothing is lost, the order holds."""
from relay_world import run

TIMES = 3


def reset(world):
    world.sql("alter system reset max_slot_wal_keep_size", "postgres")
    world.sql("select pg_reload_conf()", "postgres")


def lose_wal(world):
    world.sql("create table if not exists noise (n int); insert into noise select generate_series(1, 1000)")
    world.sql("select pg_switch_wal()")
    world.sql("checkpoint")
    return world.sql(f"select wal_status from pg_replication_slots where slot_name = '{world.run}'")


def scenario(world):
    world.at_end.append(lambda: reset(world))
    for _ in range(TIMES):
        world.wait_for_progress()
        world.relay.kill()
        world.sql("alter system set max_slot_wal_keep_size = '1MB'", "postgres")
        world.sql("select pg_reload_conf()", "postgres")
        world.wait("the slot's loss", lambda: lose_wal(world) == "lost")
        reset(world)
        world.recover()
    world.wait_for_progress()
    return f"{TIMES} times the slot lost"


run(scenario)
