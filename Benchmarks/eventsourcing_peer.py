#!/usr/bin/env python3
"""The Python library eventsourcing on the same server, for Benchmarks/log.py: its application recorder, 16 threads in two processes.

  eventsourcing_peer.py append EVENTS SECONDS plain|functions

Prints one JSON object. The environment has POSTGRES_DBNAME, POSTGRES_HOST, POSTGRES_PORT, POSTGRES_USER.
"""
import json
import multiprocessing
import os
import sys
import threading
import time
from uuid import uuid4

from eventsourcing.persistence import InfrastructureFactory, StoredEvent
from eventsourcing.utils import Environment

DATA = os.environ["PEER_DATA"].encode()
THREADS, PROCESSES = 8, 2


def recorder(functions):
    environment = dict(
        PERSISTENCE_MODULE="eventsourcing.postgres", POSTGRES_PASSWORD="", POSTGRES_POOL_SIZE=str(THREADS), POSTGRES_MAX_OVERFLOW="0",
        POSTGRES_ENABLE_DB_FUNCTIONS="y" if functions else "n",
        **{name: value for name, value in os.environ.items() if name.startswith("POSTGRES_")})
    factory = InfrastructureFactory.construct(Environment(name="peer", env=environment))
    return factory.application_recorder()


def append(number, events, seconds, functions, counts, start):
    own = recorder(functions)
    done = [0] * THREADS

    def work(thread):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            stream = uuid4()
            own.insert_events([StoredEvent(originator_id=stream, originator_version=version, topic="DocumentCreated", state=DATA)
                               for version in range(1, events + 1)])
            done[thread] += 1

    start.wait()
    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts[number] = sum(done)


def main():
    events, seconds, functions = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "functions"
    recorder(functions)  # makes the tables
    # Forked processes would inherit the locks of this one's pool.
    context = multiprocessing.get_context("spawn")
    counts, start = context.Array("q", PROCESSES), context.Barrier(PROCESSES)
    processes = [context.Process(target=append, args=(number, events, seconds, functions, counts, start)) for number in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    print(json.dumps({"per_second": sum(counts) / seconds}), flush=True)
    os._exit(0)  # the pool's threads would wait


if __name__ == "__main__":
    main()
