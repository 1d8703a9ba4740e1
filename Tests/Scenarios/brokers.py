#!/usr/bin/env python3
"""Three brokers, replication 3, each killed in turn: nothing is lost, the order holds. Needs a real Kafka."""
import os
import subprocess
import time

from relay_world import CLUSTER_PORT, run, stack

ENGINE = os.path.join(stack.need_engines("this scenario"), "engine")


def cluster(world, verb, *words):
    subprocess.run([ENGINE, "kafka", verb, os.path.join(world.folder, "cluster"), *words], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def start(world):
    cluster(world, "start", "--port", str(CLUSTER_PORT), "--brokers", "3")


def prepare(world):
    world.at_end.append(lambda: cluster(world, "stop"))
    start(world)
    world.environment["ANNALS_KAFKA_BROKERS"] = ",".join(f"127.0.0.1:{CLUSTER_PORT + n}" for n in range(3))


def scenario(world):
    for broker in ("1", "2", "3"):
        world.wait_for_progress()
        cluster(world, "kill", broker)
        time.sleep(4)
        world.wait_for_progress()
        start(world)
        time.sleep(3)
    return "3 brokers killed and started again"


run(scenario, prepare)
