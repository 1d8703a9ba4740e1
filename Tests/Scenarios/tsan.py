#!/usr/bin/env python3
"""Runs the relay under ThreadSanitizer against a real Postgres, by each source, and ends with 1 where two threads race.

  tsan.py [SECONDS]     how long each source has writers (5)

Messages go to destination=nothing: librdkafka's own threads do not run under the sanitizer. Reports whose access is inside
a Mutex are left out: the sanitizer does not see that lock, which is made of a futex (Swift's Synchronization).
"""
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from Rig import stack  # noqa: E402
from Rig.database import OUTBOX_ROW, ScratchDatabase, appending  # noqa: E402
from Rig.program import Program  # noqa: E402

RUN, PORT = stack.unique("tsan"), 17_087
DIR = stack.folder("tsan")
APPEND = appending("'document-' || :client_id", "'document'", ":client_id::text") + ";\n"
CONNECTOR = f"""topic.prefix=cdc
slot.name={RUN}_connector
table.include.list=annals.*
heartbeat.interval.ms=100
database.dbname={RUN}
"""
# The closures that Mutex.withLock runs, as the compiler names them: they take their value inout and sending.
IN_A_LOCK = re.compile(r"VzYu\w*fU")


def races(log):
    with open(log, errors="replace") as file:
        reports = file.read().split("==================")
    for report in reports:
        if "WARNING: ThreadSanitizer" not in report:
            continue
        accesses = [line for line in report.splitlines() if line.lstrip().startswith("#0")]
        if not any(IN_A_LOCK.search(line) for line in accesses[:2]):
            yield report.strip()


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5
    os.environ.pop("RIG_BINARY", None)
    annals = stack.binary("debug", "--sanitize=thread", "--scratch-path", os.path.join(stack.ROOT, ".build", "tsan"))
    environment = dict(os.environ, ANNALS_POSTGRES_URL=f"{stack.postgres_server()}/{RUN}", ANNALS_RELAY_SLOT=RUN,
                       ANNALS_RELAY_PORT=str(PORT), ANNALS_RELAY_DESTINATION="nothing", ANNALS_RELAY_CATCH_UP="1KiB",
                       ANNALS_LOG_FORM="json", TSAN_OPTIONS="report_signal_unsafe=0 exitcode=0")
    with open(os.path.join(DIR, "connector.properties"), "w") as file:
        file.write(CONNECTOR)
    with open(os.path.join(DIR, "append.sql"), "w") as file:
        file.write(APPEND)
    database, found = ScratchDatabase(RUN, annals, environment), 0
    try:
        database.sql(f"alter database {RUN} set logical_decoding_work_mem = '64kB'", "postgres")
        for source, words in (("wal", []), ("table", ["--relay.source", "table"]),
                              ("connector", ["--relay.connector", os.path.join(DIR, "connector.properties")])):
            found += look(database, [annals, "relay", *words], environment, source, seconds)
    finally:
        database.drop()
    print("no races" if found == 0 else "IT IS NOT CLEAN")
    sys.exit(1 if found else 0)


def look(database, command, environment, source, seconds):
    """Runs a relay under load; the number of problems."""
    path = os.path.join(DIR, f"{source}.log")
    relay = Program(command, environment, path, PORT)
    subprocess.run(["pgbench", "-n", "-c", "4", "-R", "400", "-T", str(int(seconds)), "-f", os.path.join(DIR, "append.sql"),
                    database.url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    database.sql(f"{OUTBOX_ROW} select nextval('annals.event_sequence'), 'document', 'x', 'c', '{{}}', gen_random_uuid(), 'T', n, now() from "
                 "generate_series(1, 5000) n")

    def read():
        return max(relay.metric("annals_relay_rows_total"), relay.metric("annals_relay_delivered_total"))

    end = time.monotonic() + 30
    while read() < 5_000 and time.monotonic() < end:
        time.sleep(0.1)
    count = read()
    relay.stop()
    reports = list(races(path))
    print(f"{source:10} {count:.0f} rows or messages, {len(reports)} races")
    for report in reports[:3]:
        print(report)
    return len(reports) + (count < 5_000)


main()
