#!/usr/bin/env python3
"""A large transaction on a table that a connector does not send: the server wants an answer while it sends it, sooner than the
transaction ends. The relay must not lose its connection, with logical messages wanted (protocol 1) and without (protocol 2).
"""
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from Rig import stack  # noqa: E402
from Rig.database import ScratchDatabase  # noqa: E402
from Rig.program import Program  # noqa: E402

RUN, PORT = stack.unique("excluded_"), 17_130
ROWS = int(os.environ.get("ROWS", "3000000"))
FOLDER = stack.folder("excluded")
BINARY = stack.binary()


def run(database, protocol):
    name = f"{RUN}_{protocol}"
    path, log = os.path.join(FOLDER, f"{name}.properties"), os.path.join(FOLDER, f"{name}.log")
    user, host, port = stack.postgres_parts()
    with open(path, "w") as file:
        file.write(f"""connector.class=io.debezium.connector.postgresql.PostgresConnector
database.hostname={host}
database.port={port}
database.user={user}
database.dbname={RUN}
topic.prefix={name}
slot.name={name}
snapshot.mode=no_data
table.include.list=public.item
publication.name={RUN}
{"message.prefix.exclude.list=.*" if protocol == 2 else ""}
""")
    relay = Program([BINARY, "relay", "--relay.connector", path, "--relay.port", str(PORT), "--log.form", "json"], dict(os.environ), log, PORT)
    try:
        stack.Deadline(30, log).wait("the relay", relay.is_ready)
        began = time.monotonic()
        database.sql(f"insert into other.big select n, repeat('x', 100) from generate_series(1, {ROWS}) n")
        database.sql("insert into item default values")
        stack.Deadline(180, log).wait("the message behind it", lambda: relay.metric("annals_relay_delivered_total") >= 1, 0.2)
        seconds = time.monotonic() - began
    finally:
        relay.stop()
    with open(log) as file:
        failures = file.read().count("The relay failed")
    print(f"protocol {protocol}: {ROWS:,} rows of a table that is not sent, behind them a message after {seconds:.0f} s; "
          f"{failures} connections lost", flush=True)
    return failures == 0


def main():
    database = ScratchDatabase(RUN)
    try:
        database.sql("create table item (id serial primary key); create schema other; create table other.big (id int, text text)")
        database.sql(f"alter database {RUN} set wal_sender_timeout = '2s'")
        holds = [run(database, protocol) for protocol in (1, 2)]
    finally:
        database.drop()
    print("it holds" if all(holds) else "IT DOES NOT HOLD")
    sys.exit(0 if all(holds) else 1)


main()
