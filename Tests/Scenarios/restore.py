#!/usr/bin/env python3
"""A dump of the log goes into another cluster. There nothing may be written until `annals adopt`; after it nothing may be lost, doubled
in the log or out of order: log indexes stay, a reader's place stays, each event is on the topic, and views equal history.

The other cluster is the Postgres of the profile dev, which must not run.
"""
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from Rig import order, stack, topic  # noqa: E402
from Rig.database import ScratchDatabase, sql  # noqa: E402
from Rig.documents import Documents, in_order, need  # noqa: E402
from Rig.program import Program  # noqa: E402

RUN, PORT = stack.unique("restore_"), 17_110
FOLDER = stack.folder("restore")
OTHER = "postgresql://annals@127.0.0.1:25432"
BINARY = stack.binary()
DOCUMENTS = Documents(RUN, PORT)
STACK = os.path.join(stack.ROOT, "scripts", "stack")


def own():
    """The variables without the test stack's Postgres, so that scripts/stack takes the profile's for its own."""
    return {name: value for name, value in os.environ.items() if name != "ANNALS_POSTGRES_URL"}


def run(database):
    log = os.path.join(FOLDER, "first.log")
    annals = Program([BINARY, "all"], DOCUMENTS.environment(database.server), log, PORT)
    try:
        stack.Deadline(30, log).wait("the API", annals.is_ready)
        DOCUMENTS.write(300)
        stack.Deadline(30, log).wait("indexes", lambda: database.sql("select count(*) from annals.log_index") == "300")
        database.sql("insert into annals.checkpoints (reader, log_id, index, event_id) "
                     "select 'test', l.id, 100, i.event_id from annals.log l, annals.log_index i where i.index = 99")
        # Some of the last events have no index when the dump is made.
        database.sql("select annals.append_event('other-' || n, 'other', 0, gen_random_uuid(), 'T', 1, '{}', '{\"actor\":\"a\"}', "
                     "n::text, null, null, null, null) from generate_series(1, 1) n")
    finally:
        annals.kill()
    before = database.sql("select index, event_id from annals.log_index order by index")
    subprocess.run(f"pg_dump --no-privileges '{database.url}' | psql -q -v ON_ERROR_STOP=1 '{OTHER}/{RUN}' > /dev/null", shell=True, check=True)
    systems = [sql(RUN, "select system_identifier from pg_control_system()", server) for server in (database.server, OTHER)]
    need(systems[0] != systems[1], "the other cluster has another identifier")

    migrated = subprocess.run([BINARY, "migrate"], env=DOCUMENTS.environment(OTHER), capture_output=True, text=True).stdout
    need("role application" in migrated, "migrate makes the roles of the new cluster")

    log = os.path.join(FOLDER, "second.log")
    annals = Program([BINARY, "all"], DOCUMENTS.environment(OTHER), log, PORT)
    try:
        stack.Deadline(30, log).wait("the process", lambda: annals.answer("/livez")[0] == 200)
        status, body = DOCUMENTS.ask("POST", "/documents", {"title": "Too early"})
        need(status == 503 and "adopt" in body, f"before adopt a write gets {status} that names the remedy")
        doctor = subprocess.run([BINARY, "doctor"], env=DOCUMENTS.environment(OTHER), capture_output=True, text=True).stdout
        need("annals adopt" in doctor, "doctor names the remedy")
        with open(log) as file:
            stack.Deadline(20, log).wait("the relay's error", lambda: "AN004" in file.read())
        need(sql(RUN, "select count(*) from annals.events", OTHER) == "301", "nothing was written")
    finally:
        annals.stop()
    printed = subprocess.run([BINARY, "adopt"], env=DOCUMENTS.environment(OTHER), capture_output=True, text=True)
    need(printed.returncode == 0, printed.stdout.strip().splitlines()[0] if printed.stdout else printed.stderr)
    log = os.path.join(FOLDER, "third.log")
    annals = Program([BINARY, "all"], DOCUMENTS.environment(OTHER), log, PORT)
    try:
        stack.Deadline(30, log).wait("the API", annals.is_ready)
        DOCUMENTS.write(100)
        stack.Deadline(30, log).wait("indexes", lambda: sql(RUN, "select count(*) from annals.log_index", OTHER) == "401")
        after = sql(RUN, "select index, event_id from annals.log_index order by index", OTHER)
        need(after.startswith(before), "the log indexes of before are the same")
        need(sql(RUN, "select count(*) = 1 from annals.checkpoints c join annals.log_index i on i.index = c.index - 1 and "
                      "i.event_id = c.event_id join annals.log l on l.id = c.log_id", OTHER) == "t", "a reader's place is the same")
        need(in_order(OTHER, RUN), "each stream is in its order")
        committed = DOCUMENTS.committed(OTHER)
        verdict = None

        def has_all():
            nonlocal verdict
            verdict = order.check(list(topic.read(f"{RUN}.documents")), committed)
            return not verdict.lost

        stack.Deadline(60, log).wait("the topic", has_all)
        need(verdict.holds(), f"{len(committed)} events on the topic, {len(verdict.doubles)} of {verdict.delivered} messages again, "
                              f"{verdict.out_of_order} out of order")
        stack.Deadline(60, log).wait("the views", lambda: subprocess.run(
            [BINARY, "verify"], env=DOCUMENTS.environment(OTHER), capture_output=True).returncode == 0)
        need(True, "the views equal history")
    finally:
        annals.stop()


def main():
    if subprocess.run([STACK, "status", "dev"], env=own(), capture_output=True, text=True).stdout.find("postgres: up") >= 0:
        sys.exit("the Postgres of the profile dev runs: make down")
    database = ScratchDatabase(RUN, BINARY, DOCUMENTS.environment(stack.postgres_server()))
    subprocess.run([STACK, "start", "dev", "postgres"], env=own(), check=True)
    try:
        sql("postgres", f"create database {RUN}", OTHER)
        run(database)
    finally:
        database.drop(OTHER)
        database.drop()
        subprocess.run([STACK, "stop", "dev", "postgres"], env=own(), check=True)
    print("nothing lost, nothing silent")


main()
