#!/usr/bin/env python3
"""The log's cluster moves. First a standby is promoted that lacks the end of the log: what is left goes on, in order and without
gaps, and `annals verify` says that the views have more than history. Then pg_upgrade gives the cluster another
identifier: nothing may be written until `annals adopt`, and after it nothing may be lost, doubled in the log or out of order.
"""
import http.client
import json
import os
import random
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from Rig import order, stack, topic  # noqa: E402
from Rig.cluster import Cluster  # noqa: E402
from Rig.database import sql  # noqa: E402
from Rig.program import Program  # noqa: E402

RUN, PORT = stack.unique("moved_"), 17_120
FOLDER = stack.folder("moved")
BINARY = stack.binary()
"""Events of before the copy, of the lost end, of after the promotion, of after the upgrade."""
KEPT, LOST, PROMOTED, UPGRADED = 60, 20, 30, 40


def environment(server):
    return dict(
        os.environ, ANNALS_POSTGRES_URL=f"{server}/{RUN}", ANNALS_HTTP_PORT=str(PORT), ANNALS_OPERATIONS_PORT=str(PORT + 1),
        ANNALS_RELAY_SLOT=RUN, ANNALS_RELAY_TOPIC=f"{RUN}.{{aggregate}}s", ANNALS_ELASTICSEARCH_ALIAS=RUN,
        ANNALS_PROJECTION_GROUP=RUN, ANNALS_LOG_FORM="json")


def annals(server, *words):
    return subprocess.run([BINARY, *words], env=environment(server), capture_output=True, text=True)


def ask(method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
    connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json", "X-Actor": "moved"})
    response = connection.getresponse()
    return response.status, response.read().decode()


def write(documents, count):
    for number in range(count):
        if documents and number % 3:
            status, _ = ask("PATCH", f"/documents/{random.choice(documents)}", {"title": f"Title {number} {random.random()}"})
        else:
            status, body = ask("POST", "/documents", {"title": f"Document {number}"})
            documents.append(json.loads(body)["id"])
        if status not in (200, 201):
            sys.exit(f"a write got {status}")


def need(holds, what):
    print(("ok      " if holds else "PROBLEM ") + what, flush=True)
    if not holds:
        sys.exit(1)


def events(server):
    """What the log holds: event to key and version."""
    rows = sql(RUN, "select event_id, split_part(stream_id, 'document-', 2), version from annals.events", server)
    return {event: (key, int(version)) for event, key, version in (row.split("|") for row in rows.splitlines())}


def indexes(server):
    return sql(RUN, "select index, event_id from annals.log_index order by index", server)


def working(name, server, documents, count, total):
    """Runs Annals, writes, and returns once all has an index and is on the topic."""
    log = os.path.join(FOLDER, f"{name}.log")
    program = Program([BINARY, "all"], environment(server), log, PORT)
    try:
        stack.Deadline(30, log).wait("the API", program.is_ready)
        write(documents, count)
        stack.Deadline(30, log).wait("indexes", lambda: sql(RUN, "select count(*) from annals.log_index", server) == str(total))
        held = events(server)
        stack.Deadline(60, log).wait("the topic", lambda: held.keys() <= {message.event for message in topic.read(f"{RUN}.documents")})
    finally:
        program.stop()
    return held


def in_order(server):
    return sql(RUN, "select count(*) from (select version, row_number() over (partition by stream_id order by i.index) n "
                    "from annals.log_index i join annals.events e using (epoch, xid, sequence)) x where version <> n", server) == "0"


def run(first, second, third, documents):
    first.create()
    first.start()
    sql("postgres", f"create database {RUN}", first.server)
    need(annals(first.server, "migrate").returncode == 0, "a log in a cluster of its own")
    working("first", first.server, documents, KEPT, KEPT)
    kept = list(documents)
    second.copy(first.server)
    lost = working("end", first.server, documents, LOST, KEPT + LOST)
    first.stop("immediate")

    second.start()
    second.promote()
    before = indexes(second.server)
    need(before.count("\n") + 1 == KEPT, f"the promoted standby has {KEPT} of {KEPT + LOST} events")
    verify = annals(second.server, "verify")
    need(verify.returncode == 1 and "the view has version" in verify.stdout, "verify says that the views have what history has not")
    held = working("promoted", second.server, kept, PROMOTED, KEPT + PROMOTED)
    need(indexes(second.server).startswith(before) and in_order(second.server), "indexes stay, and go on without a gap")
    # What consumers have of the lost end stays on the topic; all else is there, in order.
    left_over = lost.keys() - held.keys()
    mine = [message for message in topic.read(f"{RUN}.documents") if message.event not in left_over]
    verdict = order.check(mine, held)
    need(verdict.holds(), f"{len(held)} events on the topic, {verdict.out_of_order} out of order, {len(left_over)} of the lost end beside them")

    second.stop()
    third.upgrade(second)
    third.start()
    systems = [cluster.program("pg_controldata", cluster.folder).stdout.split("system identifier:")[1].split()[0] for cluster in (second, third)]
    need(systems[0] != systems[1], "pg_upgrade gave the cluster another identifier")
    log = os.path.join(FOLDER, "early.log")
    program = Program([BINARY, "all"], environment(third.server), log, PORT)
    try:
        stack.Deadline(30, log).wait("the process", lambda: program.answer("/livez")[0] == 200)
        status, body = ask("POST", "/documents", {"title": "Too early"})
        need(status == 503 and "adopt" in body, f"before adopt a write gets {status} that names the remedy")
    finally:
        program.stop()
    before = indexes(third.server)
    printed = annals(third.server, "adopt")
    need(printed.returncode == 0, printed.stdout.strip().splitlines()[0] if printed.stdout else printed.stderr)
    held = working("upgraded", third.server, kept, UPGRADED, KEPT + PROMOTED + UPGRADED)
    need(indexes(third.server).startswith(before) and in_order(third.server), "indexes stay, and go on without a gap")
    verdict = order.check([message for message in topic.read(f"{RUN}.documents") if message.event not in left_over], held)
    need(verdict.holds(), f"{len(held)} events on the topic, {len(verdict.doubles)} messages again, {verdict.out_of_order} out of order")


def main():
    clusters = [Cluster(os.path.join(FOLDER, name), PORT + 5 + number) for number, name in enumerate(("first", "second", "third"))]
    try:
        run(*clusters, [])
    finally:
        for cluster in clusters:
            cluster.stop("immediate")
    print("what is left goes on, nothing silent")


main()
