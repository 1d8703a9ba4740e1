#!/usr/bin/env python3
"""The outbox while it grows and is emptied: its size, dead tuples and the longest appends, over many events.

A relay reads the outbox from the table and sends nothing anywhere; `annals serve` gives log indexes and drops partitions; pgbench
appends. A reader holds the outbox for 30 s in the middle, as a backup does.

  soak.py [--events N] [--rate N]
"""
import argparse
import glob
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "Tests"))
from Rig import stack  # noqa: E402
from Rig.database import ScratchDatabase, appending  # noqa: E402
from Rig.program import Program  # noqa: E402

PORT = 17194
SAMPLE = """select count(*), coalesce(sum(pg_total_relation_size(('annals.' || name)::regclass)), 0) / 1048576,
  (select sum(n_dead_tup) from pg_stat_user_tables where schemaname = 'annals'),
  (select last_value from annals.event_sequence) from annals.outbox_partitions"""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--rate", type=int, default=6_000)
    options = parser.parse_args()
    folder, name, binary = stack.folder("soak"), stack.unique("soak_"), stack.binary()
    url = f"{stack.postgres_server()}/{name}"
    environment = dict(
        os.environ, ANNALS_POSTGRES_URL=url, ANNALS_HTTP_PORT=str(PORT), ANNALS_OPERATIONS_PORT=str(PORT + 1),
        ANNALS_RELAY_PORT=str(PORT + 2), ANNALS_RELAY_SLOT=name, ANNALS_RELAY_SOURCE="table", ANNALS_RELAY_DESTINATION="nothing",
        ANNALS_LOG_LEVEL="warning")
    database = ScratchDatabase(name, binary, environment)
    script = os.path.join(folder, "append.sql")
    with open(script, "w") as file:
        file.write("\\set n random(1, 100000)\n" + appending("'document-' || :n", "'document'", ":n::text") + ";\n")
    for old in glob.glob(os.path.join(folder, "latency*")):
        os.remove(old)
    serve = Program([binary, "serve", "documents"], environment, os.path.join(folder, "serve.log"), PORT)
    relay = Program([binary, "relay"], environment, os.path.join(folder, "relay.log"), PORT + 2)
    writer = reader = None
    try:
        stack.Deadline(30, os.path.join(folder, "relay.log")).wait("the relay", relay.is_ready)
        seconds = options.events // options.rate
        writer = subprocess.Popen(
            ["pgbench", "-n", "-M", "prepared", "-c", "16", "-j", "2", "-R", str(options.rate), "-T", str(seconds), "-f", script,
             "-l", f"--log-prefix={folder}/latency", "--sampling-rate=1", url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        print("seconds  partitions  MiB in them  dead tuples  events")
        begun = time.monotonic()
        while writer.poll() is None:
            time.sleep(min(20, max(2, seconds / 15)))
            now = time.monotonic() - begun
            print(f"{now:7.0f}  {database.sql(SAMPLE).replace('|', '  ')}", flush=True)
            if reader is None and now > seconds / 2:
                reader = subprocess.Popen(["psql", "-q", url, "-c", "begin isolation level repeatable read; "
                                           "lock table annals.outbox in access share mode; select pg_sleep(30); commit"],
                                          stdout=subprocess.DEVNULL)
        if reader:
            reader.wait()
        time.sleep(25)
        print(f"    end  {database.sql(SAMPLE).replace('|', '  ')}")
    finally:
        for process in (writer, reader):
            if process and process.poll() is None:
                process.terminate()
        relay.stop()
        serve.stop()
        database.drop()
    latencies = []
    for path in glob.glob(os.path.join(folder, "latency*")):
        with open(path) as file:
            # Client, transaction, time, script, seconds, microseconds, lag behind the schedule.
            latencies += [int(line.split()[2]) - int(line.split()[6] if len(line.split()) > 6 else 0) for line in file]
    latencies.sort()
    if not latencies:
        sys.exit("pgbench wrote no latencies")
    slow = sum(1 for latency in latencies if latency > 50_000)
    print(f"{len(latencies):,} appends: p99 {latencies[int(len(latencies) * 0.99)] / 1000:.1f} ms, longest "
          f"{latencies[-1] / 1000:.1f} ms, above 50 ms {slow}")


main()
