#!/usr/bin/env python3
"""The log's cluster moves. First a standby is promoted that lacks the end of the log: what is left goes on, in order and without
gaps, and `annals verify` says that the views have more than history. Then pg_upgrade gives the cluster another
identifier: nothing may be written until `annals adopt`, and after it nothing may be lost, doubled in the log or out of order.
"""
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from Rig import order, stack, topic  # noqa: E402
from Rig.cluster import Cluster  # noqa: E402
from Rig.database import sql  # noqa: E402
from Rig.documents import Documents, in_order, need  # noqa: E402
from Rig.program import Program  # noqa: E402

RUN, PORT = stack.unique("moved_"), 17_120
FOLDER = stack.folder("moved")
BINARY = stack.binary()
DOCUMENTS = Documents(RUN, PORT)
"""Events of before the copy, of the lost end, of after the promotion, of after the upgrade."""
KEPT, LOST, PROMOTED, UPGRADED = 60, 20, 30, 40


def annals(server, *words):
    return subprocess.run([BINARY, *words], env=DOCUMENTS.environment(server), capture_output=True, text=True)


def indexes(server):
    return sql(RUN, "select index, event_id from annals.log_index order by index", server)


def working(name, server, count, total):
    """Runs Annals, writes, and returns once all has an index and is on the topic."""
    log = os.path.join(FOLDER, f"{name}.log")
    program = Program([BINARY, "all"], DOCUMENTS.environment(server), log, PORT)
    try:
        stack.Deadline(30, log).wait("the API", program.is_ready)
        DOCUMENTS.write(count)
        stack.Deadline(30, log).wait("indexes", lambda: sql(RUN, "select count(*) from annals.log_index", server) == str(total))
        held = DOCUMENTS.committed(server)
        stack.Deadline(60, log).wait("the topic", lambda: held.keys() <= {message.event for message in topic.read(f"{RUN}.documents")})
    finally:
        program.stop()
    return held


def run(first, second, third):
    first.create()
    first.start()
    sql("postgres", f"create database {RUN}", first.server)
    need(annals(first.server, "migrate").returncode == 0, "a log in a cluster of its own")
    working("first", first.server, KEPT, KEPT)
    kept = list(DOCUMENTS.ids)
    second.copy(first.server)
    lost = working("end", first.server, LOST, KEPT + LOST)
    first.stop("immediate")

    second.start()
    second.promote()
    before = indexes(second.server)
    need(before.count("\n") + 1 == KEPT, f"the promoted standby has {KEPT} of {KEPT + LOST} events")
    verify = annals(second.server, "verify")
    need(verify.returncode == 1 and (" is extra" in verify.stdout or " is ahead" in verify.stdout), "verify says that the views have what history has not")
    DOCUMENTS.ids = kept
    held = working("promoted", second.server, PROMOTED, KEPT + PROMOTED)
    need(indexes(second.server).startswith(before) and in_order(second.server, RUN), "indexes stay, and go on without a gap")
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
    program = Program([BINARY, "all"], DOCUMENTS.environment(third.server), log, PORT)
    try:
        stack.Deadline(30, log).wait("the process", lambda: program.answer("/livez")[0] == 200)
        status, body = DOCUMENTS.ask("POST", "/documents", {"title": "Too early"})
        need(status == 503 and "adopt" in body, f"before adopt a write gets {status} that names the remedy")
    finally:
        program.stop()
    before = indexes(third.server)
    printed = annals(third.server, "adopt")
    need(printed.returncode == 0, printed.stdout.strip().splitlines()[0] if printed.stdout else printed.stderr)
    held = working("upgraded", third.server, UPGRADED, KEPT + PROMOTED + UPGRADED)
    need(indexes(third.server).startswith(before) and in_order(third.server, RUN), "indexes stay, and go on without a gap")
    verdict = order.check([message for message in topic.read(f"{RUN}.documents") if message.event not in left_over], held)
    need(verdict.holds(), f"{len(held)} events on the topic, {len(verdict.doubles)} messages again, {verdict.out_of_order} out of order")


def main():
    clusters = [Cluster(os.path.join(FOLDER, name), PORT + 5 + number) for number, name in enumerate(("first", "second", "third"))]
    try:
        run(*clusters)
    finally:
        for cluster in clusters:
            cluster.stop("immediate")
    print("what is left goes on, nothing silent")


main()
