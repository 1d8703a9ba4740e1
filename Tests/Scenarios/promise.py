#!/usr/bin/env python3
"""Kills the relay and the projector again and again under load and checks that the promise holds.

PROMISE_APPENDS (20,000) appends over PROMISE_DOCUMENTS (500) documents by 8 clients through the REST API, while relay and
projector are each killed with SIGKILL at random at least 10 times, and the broker is restarted once if it is real and
started from here. Afterwards every committed event is on the topic at least once, the order of each key is its stream's,
and the views equal a replay. Prints the counts; ends with 1 on loss, reorder or difference.
"""
import http.client
import json
import os
import random
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from Rig import order, stack, topic  # noqa: E402
from Rig.database import ScratchDatabase  # noqa: E402
from Rig.program import Program  # noqa: E402

APPENDS = int(os.environ.get("PROMISE_APPENDS", "20000"))
DOCUMENTS = int(os.environ.get("PROMISE_DOCUMENTS", "500"))
PAUSE = float(os.environ.get("PROMISE_PAUSE", "0.04"))
CLIENTS, PORT = 8, 17080
KILLS = int(os.environ.get("PROMISE_KILLS", "10"))
RUN = stack.unique("promise")
FOLDER = stack.folder("promise")
DEADLINE = stack.Deadline(600, FOLDER)

ENVIRONMENT = dict(
    os.environ, ANNALS_POSTGRES_URL=f"{stack.postgres_server()}/{RUN}", ANNALS_HTTP_PORT=str(PORT),
    ANNALS_OPERATIONS_PORT=str(PORT + 3),
    ANNALS_RELAY_PORT=str(PORT + 1), ANNALS_PROJECTION_PORT=str(PORT + 2), ANNALS_RELAY_SLOT=RUN,
    ANNALS_RELAY_TOPIC=RUN + ".{aggregate}s", ANNALS_PROJECTION_GROUP=RUN, ANNALS_ELASTICSEARCH_ALIAS=RUN,
    ANNALS_LOG_FORM="json")
# Exceptions of the stand-ins; there is none on real servers.
EXCEPTIONS = []
if not stack.engines():
    EXCEPTIONS.append("the broker is not restarted: the stand-in is also Elasticsearch")
    # It never takes a killed leader out of its group; a member that comes back under its old name is let in.
    EXCEPTIONS.append("the projector has a name in its groups (projection.instance)")
    ENVIRONMENT["ANNALS_PROJECTION_INSTANCE"] = "promise"


class Load:
    """Clients that create documents and change them; what the API answered must arrive."""

    def __init__(self):
        self.committed, self.failed, self.remaining, self.ids = 0, 0, APPENDS, []
        self.lock, self.done = threading.Lock(), threading.Event()

    def take(self):
        with self.lock:
            self.remaining -= 1
            return self.remaining >= 0

    def request(self, connection, method, path, body):
        connection.request(method, path, json.dumps(body), {"Content-Type": "application/json", "X-Actor": "promise"})
        response = connection.getresponse()
        return response.status, response.read()

    def append(self, connection, number, random_):
        if len(self.ids) >= DOCUMENTS:
            document = random_.choice(self.ids)
            return self.request(connection, "PATCH", f"/documents/{document}", {"title": f"Title {random_.random()}"})[0]
        status, data = self.request(connection, "POST", "/documents", {"title": f"Document {number}"})
        if status == 201:
            with self.lock:
                self.ids.append(json.loads(data)["id"])
        return status

    def client(self, number):
        random_ = random.Random(number)
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
        while self.take() and time.monotonic() < DEADLINE.end:
            # A pause, so that the load lasts for the kills.
            time.sleep(random_.uniform(0, 2 * PAUSE))
            try:
                status = self.append(connection, number, random_)
            except (OSError, http.client.HTTPException):
                status = 0
                connection.close()
                connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
            with self.lock:
                if status in (200, 201):
                    self.committed += 1
                else:
                    self.failed += 1

    def run(self):
        threads = [threading.Thread(target=self.client, args=(number,)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.done.set()


def main():
    binary = stack.binary()
    database = ScratchDatabase(RUN, binary, ENVIRONMENT)
    programs = [Program([binary, word], ENVIRONMENT, os.path.join(FOLDER, f"{word}.log"), port)
                for word, port in (("serve", PORT), ("relay", PORT + 1), ("project", PORT + 2))]
    try:
        holds = run(binary, database, *programs)
    finally:
        for program in reversed(programs):
            program.stop()
        database.drop()
    print("the promise holds" if holds else "THE PROMISE IS BROKEN")
    sys.exit(0 if holds else 1)


def hunt(load, program, counter):
    """Kills a program while it works: after this life of it has delivered or applied something, at a random moment."""
    while not load.done.is_set():
        DEADLINE.wait("progress", lambda: load.done.is_set() or program.metric(counter) > 0, 0.2)
        time.sleep(random.uniform(0, 1))
        if not load.done.is_set():
            program.kill()
            program.start()


def run(binary, database, serve, relay, project):
    DEADLINE.wait("the API", serve.is_ready)
    load, started, restarts = Load(), time.monotonic(), 0
    threading.Thread(target=load.run, daemon=True).start()
    hunters = [threading.Thread(target=hunt, args=(load, *victim)) for victim in (
        (relay, "annals_relay_delivered_total"), (project, "annals_projection_changes_total"))]
    for hunter in hunters:
        hunter.start()
    while not load.done.wait(0.2):
        if not EXCEPTIONS and restarts == 0 and load.committed > APPENDS // 4:
            # Without its address the stack takes the broker for its own.
            own = {name: value for name, value in os.environ.items() if name != "ANNALS_KAFKA_BROKERS"}
            subprocess.run([os.path.join(stack.ROOT, "scripts", "stack"), "restart", "test", "kafka"], env=own, check=True)
            restarts += 1
        if time.monotonic() > DEADLINE.end:
            sys.exit("the load did not end in time")
    for hunter in hunters:
        hunter.join()
    seconds = time.monotonic() - started

    rows = [row.split("|") for row in database.sql(
        "select event_id, stream_id, version from annals.events order by sequence").splitlines()]
    committed = {event: (stream.removeprefix("document-"), int(version)) for event, stream, version in rows}
    end = database.sql("select pg_current_wal_lsn()")
    DEADLINE.wait("the relay's catching up", lambda: database.sql(
        f"select confirmed_flush_lsn >= '{end}' from pg_replication_slots where slot_name = '{RUN}'") == "t", 0.2)
    verdict = order.check(topic.read(f"{RUN}.documents"), committed)
    summary = verified(binary)

    print(f"committed by the API   {load.committed} ({load.failed} refused or failed) in {seconds:.0f} s")
    print(f"appended               {len(committed)} events over {len(set(key for key, _ in committed.values()))} documents")
    print(f"kills                  relay {relay.kills}, projector {project.kills}, broker restarts {restarts}")
    print(f"delivered              {verdict.delivered}")
    print(f"duplicates             {len(verdict.doubles)}")
    print(f"out of order           {verdict.out_of_order}")
    print(f"lost                   {len(verdict.lost)}")
    print(f"not of this log        {len(verdict.foreign)}")
    print(f"views against history  {summary}")
    print(f"exceptions             {len(EXCEPTIONS)}" + "".join(f"\n  {text}" for text in EXCEPTIONS))
    for line in verdict.evidence():
        print(line)
    if relay.kills < KILLS or project.kills < KILLS:
        print(f"too few kills while there was load: raise PROMISE_APPENDS above {APPENDS}")
        return False
    return verdict.holds() and " 0 differences" in summary and len(committed) >= load.committed


def verified(binary):
    """The first line of `annals verify`, once the views have caught up, or after 90 s."""
    end = time.monotonic() + 90
    while True:
        result = subprocess.run([binary, "verify"], env=ENVIRONMENT, capture_output=True, text=True)
        if result.returncode == 0 or time.monotonic() > end:
            return (result.stdout.splitlines() or ["verify failed"])[0]
        time.sleep(1)


main()
