#!/usr/bin/env python3
"""The judges are judged: relays that break a promise on purpose must be convicted, by the fault that they have. One drops
messages, one swaps two of a key, one confirms before Kafka has acknowledged and is killed; one has no fault. Needs a real Kafka.
"""
import os
import signal
import subprocess
import sys

from relay_world import run, stack

# The fault, and the line of the verdict that must not be zero.
EXPECTED = {"none": None, "drop": "lost-write", "swap": "poll-skip", "early": "lost-write"}


def early(world):
    with open(os.path.join(stack.ROOT, ".stack", "test", "kafka", "kafka-1", "pid")) as file:
        broker = int(file.read())
    os.kill(broker, signal.SIGSTOP)
    try:
        end = world.sql("select pg_current_wal_lsn()")
        world.wait("a confirmation without Kafka", lambda: world.sql(
            f"select confirmed_flush_lsn > '{end}' from pg_replication_slots where slot_name = '{world.run}'") == "t")
        world.relay.kill()
    finally:
        os.kill(broker, signal.SIGCONT)
    world.relay.start()


def scenario(world):
    for _ in range(20):
        world.wait_for_progress()
    if world.environment.get("RELAY_FAULT") == "early":
        early(world)
    world.wait_for_progress()
    world.wait("some thousand messages", lambda: world.delivered() > 3_000)
    return f"fault {world.environment.get('RELAY_FAULT', 'none')}"


def convicted(fault):
    """Runs a relay with a fault, and returns whether the verdict is the right one."""
    environment = dict(os.environ, RIG_BINARY=stack.binary("debug"), RATE="2000")
    if fault != "none":
        environment["RELAY_FAULT"] = fault
    result = subprocess.run([sys.executable, os.path.abspath(__file__), "run"], env=environment, capture_output=True, text=True)
    numbers = {line[:23].strip(): line[23:] for line in result.stdout.splitlines()}
    line = EXPECTED[fault]
    right = result.returncode == 0 if line is None else result.returncode == 1 and int(numbers.get(line, "0")) > 0
    found = ", ".join(f"{name} {numbers.get(name, '?')}" for name in ("lost-write", "torn-transaction", "poll-skip", "duplicate"))
    print(f"{fault:6} {found}: {'as it must be' if right else 'THE JUDGE IS WRONG'}", flush=True)
    if not right:
        print(result.stdout[-1000:] + result.stderr[-1000:])
    return right


stack.need_engines("this scenario")
if sys.argv[1:] == ["run"]:
    run(scenario)
os.environ.pop("RIG_BINARY", None)
sys.exit(0 if all([convicted(fault) for fault in EXPECTED]) else 1)
