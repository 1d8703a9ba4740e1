#!/usr/bin/env python3
"""The event store beside the limit of the machine: each figure the median of some runs, each ratio to a limit that was measured
beside it, run by run.

Appending: pgbench (16 clients, prepared) calls one function that writes stream, event and outbox row and does nothing else;
then Annals' own functions; then Annals with 1, 4, 16 and 64 tasks, 1 and 10 events each, without and with the sequencer;
and `POST /documents` with 64 connections. Reading: `copy annals.events to` nothing; the whole log raw and decoded; one stream;
replay into states. Tail: a subscription while 16 clients append. The peer is the Python library eventsourcing, with its binary
driver, without and with its functions in the database.

  log.py [--seconds N] [--runs N] [--events N] [--tail SECONDS]

fsync is on. Run it by `make bench-log`.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "Tests"))
from Rig import stack  # noqa: E402
from Rig.database import ScratchDatabase  # noqa: E402
from Rig.program import Program  # noqa: E402

PORT = 17190
GOALS = {"append 16 1": 0.9, "append 16 10": 0.9, "sequenced 16 1": 0.85, "http": 0.75, "raw": 0.9, "decoded": 0.6}
DATA = '{"id":"01890a5d-ac96-774b-bcce-b302099a8057","title":"A document of the benchmark","created_by":"bench","at":"2026-11-21T13.20.38.123456Z"}'
ROW = '{"id":"01890a5d-ac96-774b-bcce-b302099a8057","title":"A document of the benchmark","content_type": null,"content_size": null,"s3_key": null,"content_sha256": null,"status":"created","created_by":"bench","created_at":"2026-11-21T13.20.38.123456Z","updated_at":"2026-11-21T13.20.38.123456Z","version": 1}'
LIMIT = """create schema limits; create sequence limits.event_sequence;
create table limits.streams (like annals.streams including defaults including storage); alter table limits.streams add primary key (stream_id);
create table limits.events (like annals.events including defaults including storage);
alter table limits.events add primary key (epoch, xid, sequence), add unique (stream_id, version);
create table limits.outbox (like annals.outbox including defaults including storage); alter table limits.outbox add primary key (epoch, xid, sequence);
create function limits.append(stream_id text, category text, events integer, type text, data json, metadata json, key text, after json)
returns void language plpgsql as $$
declare n bigint; at timestamptz := clock_timestamp();
begin
  insert into limits.streams values ($1, $2, events, 1, pg_current_xact_id(), at, false);
  if events = 1 then
    n := nextval('limits.event_sequence');
    insert into limits.events values (1, pg_current_xact_id(), n, $1, 1, gen_random_uuid(), $4, 1, $5, $6, at);
    insert into limits.outbox values (1, pg_current_xact_id(), n, $2, $7, 'c', null, $8, gen_random_uuid(), $4, 1, null, at);
  else
    with e as (
      insert into limits.events
      select 1, pg_current_xact_id(), nextval('limits.event_sequence'), $1, v, gen_random_uuid(), $4, 1, $5, $6, at
        from generate_series(1, events) v returning sequence, event_id, version)
    insert into limits.outbox select 1, pg_current_xact_id(), e.sequence, $2, $7, 'c', null, $8, e.event_id, $4, e.version, null, at from e;
  end if;
end $$"""
POST = """wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["X-Actor"] = "bench"
wrk.body = '{"title":"A document of the benchmark"}'
"""


def limit(events):
    return (f"select limits.append('document-' || gen_random_uuid(), 'document', {events}, 'DocumentCreated', '{DATA}', "
            f"'{{\"actor\":\"bench\"}}', gen_random_uuid()::text, '{ROW}');\n")


APPEND = (f"select outcome from annals.append_event('document-' || gen_random_uuid(), 'document', 0, gen_random_uuid(), "
          f"'DocumentCreated', 1, '{DATA}', '{{\"actor\":\"bench\"}}', gen_random_uuid()::text, 'c', null, '{ROW}', null);\n")


class Bench:
    def __init__(self, options):
        self.options, self.folder = options, stack.folder("bench-log")
        self.binary = stack.binary()
        self.figures = {}

    def open(self):
        self.name = stack.unique("bench_")
        user, _, port = stack.postgres_parts()
        sockets = os.path.join(stack.ROOT, ".stack", "test", "postgres")
        has_socket = os.path.exists(os.path.join(sockets, f".s.PGSQL.{port}"))
        self.sockets = sockets if has_socket else None
        self.url = (f"postgresql://{user}@/{self.name}?host={sockets}&port={port}" if has_socket
                    else f"{stack.postgres_server()}/{self.name}")
        self.environment = dict(
            os.environ, ANNALS_POSTGRES_URL=self.url, ANNALS_HTTP_PORT=str(PORT), ANNALS_OPERATIONS_PORT=str(PORT + 1),
            ANNALS_RELAY_SLOT=self.name, ANNALS_LOG_LEVEL="warning")
        self.database = ScratchDatabase(self.name, self.binary, self.environment)
        self.database.sql(LIMIT)
        self.database.sql("select annals.add_outbox_partitions(60, 250000)")

    def script(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.write(text)
        return path

    def pgbench(self, script, clients=16, seconds=None):
        result = subprocess.run(
            ["pgbench", "-n", "-M", "prepared", "-c", str(clients), "-j", "2", "-T", str(seconds or self.options.seconds), "-f",
             script, self.url], capture_output=True, text=True)
        found = re.search(r"^tps = ([\d.]+)", result.stdout, re.M)
        if not found:
            sys.exit(f"pgbench: {result.stderr}")
        return float(found.group(1))

    def log(self, *words):
        result = subprocess.run([os.path.join(stack.ROOT, ".build", "release", "bench-log"), *map(str, words)],
                                env=self.environment, capture_output=True, text=True)
        if result.returncode or not result.stdout.strip():
            sys.exit(f"bench-log {words}: {result.stderr[-2000:]}")
        return json.loads(result.stdout)

    def peer(self, *words):
        user, host, port = stack.postgres_parts()
        environment = dict(self.environment, POSTGRES_DBNAME=self.name, POSTGRES_HOST=self.sockets or host, POSTGRES_PORT=port,
                           POSTGRES_USER=user, PEER_DATA=DATA)
        result = subprocess.run([os.path.join(stack.ROOT, ".stack", "peers", "bin", "python"),
                                 os.path.join(os.path.dirname(os.path.abspath(__file__)), "eventsourcing_peer.py"), *map(str, words)],
                                env=environment, capture_output=True, text=True, timeout=120)
        if result.returncode:
            sys.exit(f"eventsourcing_peer.py {words}: {result.stderr[-2000:]}")
        return json.loads(result.stdout)

    def note(self, name, value, against):
        self.figures.setdefault(name, []).append((value, against))

    def appending(self):
        scripts = {events: self.script(f"limit{events}.sql", limit(events)) for events in (1, 10)}
        own = self.script("append.sql", APPEND)
        limits = {}
        for events in (1, 10):
            limits[events] = self.pgbench(scripts[events])
            self.note(f"limit {events}", limits[events], None)
        self.note("function 1", self.pgbench(own), limits[1])
        for events in (1, 10):
            # Measured again next to what it is the limit of.
            for tasks in (1, 4, 16, 64):
                against = (limits[events] + self.pgbench(scripts[events])) / 2 if tasks == 16 else limits[events]
                self.note(f"append {tasks} {events}", self.log("append", tasks, events, self.options.seconds)["per_second"], against)
        for events in (1, 10):
            for form in ("plain", "functions"):
                self.note(f"peer {form} {events}", self.peer("append", events, self.options.seconds, form)["per_second"], limits[events])
        serve = Program([self.binary, "serve", "documents"], self.environment, os.path.join(self.folder, "serve.log"), PORT)
        try:
            stack.Deadline(30, os.path.join(self.folder, "serve.log")).wait("the API", serve.is_ready)
            before = self.pgbench(scripts[1])
            for tasks in (16,):
                self.note(f"sequenced {tasks} 1", self.log("append", tasks, 1, self.options.seconds)["per_second"], before)
            result = subprocess.run(
                ["wrk", "-t1", "-c64", f"-d{self.options.seconds}s", "-s", self.script("post.lua", POST),
                 f"http://127.0.0.1:{PORT}/documents"], capture_output=True, text=True)
            if result.returncode or "Non-2xx" in result.stdout:
                sys.exit(f"wrk: {result.stdout}{result.stderr}")
            self.note("http", float(re.search(r"Requests/sec:\s+([\d.]+)", result.stdout).group(1)), before)
        finally:
            serve.stop()

    def tail(self):
        writer = subprocess.Popen(
            ["pgbench", "-n", "-M", "prepared", "-c", "16", "-j", "1", "-T", str(self.options.tail + 5), "-f",
             self.script("append.sql", APPEND), self.url], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            self.database.sql("delete from annals.checkpoints")
            # It begins behind what is there.
            self.database.sql("insert into annals.checkpoints (reader, log_id, index, event_id) select 'bench', l.id, i.index + 1, i.event_id "
                              "from annals.log l, (select * from annals.log_index order by index desc limit 1) i")
            return self.log("tail", self.options.tail)
        finally:
            writer.terminate()
            writer.wait()

    def reading(self):
        self.database.sql("drop schema limits cascade")
        events = self.options.events
        self.log("fill", events, max(1, events // 100_000))
        while self.database.sql("select coalesce(sequenced, 0) from annals.sequence_events(100000)") != "0":
            pass
        self.database.sql("vacuum analyze")
        total = int(self.database.sql("select count(*) from annals.events"))
        for _ in range(self.options.runs):
            for name, command, against in (("raw", "read", True), ("decoded", "decode", True), ("stream", "stream", False)):
                copy = self.copy(total) if against else None
                self.note(name, self.log(command)["per_second"], copy)
                if against:
                    self.note("copy", copy, None)
            self.note("states", self.log("states", max(1, events // 100_000))["per_second"], None)
        return total

    def copy(self, total):
        result = subprocess.run(
            ["psql", "-qAt", self.url], capture_output=True, text=True,
            input="\\timing on\n\\copy annals.events to '/dev/null' (format binary)\n")
        return total / float(re.search(r"Time: ([\d.]+)", result.stdout).group(1)) * 1_000


def show(bench):
    titles = {
        "limit 1": "pgbench: write stream, event, outbox row", "limit 10": "pgbench: the same, 10 events",
        "function 1": "pgbench: annals.append_event", "http": "POST /documents, 64 connections, sequencer",
        "copy": "COPY of the table to nothing", "raw": "the log by COPY, raw", "decoded": "the log as events",
        "stream": "one stream of 100,000, folded", "states": "replay into states",
        "peer plain 1": "eventsourcing, 16 threads, 1 event", "peer plain 10": "eventsourcing, 16 threads, 10 events",
        "peer functions 1": "the same with functions, 1 event", "peer functions 10": "the same with functions, 10 events",
    }
    print(f"{'':48} per second  ratio (least to most)")
    for name, values in bench.figures.items():
        title = titles.get(name) or "{} with {} tasks, {} events".format(*name.replace("sequenced", "append, sequencer,").rsplit(" ", 2))
        rate = statistics.median(value for value, _ in values)
        line = f"{title:48} {rate:10,.0f}"
        ratios = [value / against for value, against in values if against]
        if ratios:
            goal = f", goal {GOALS[name]}" if name in GOALS else ""
            line += f"  {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}{goal})"
        print(line)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--tail", type=int, default=20)
    options = parser.parse_args()
    bench = Bench(options)
    for _ in range(options.runs):
        bench.open()
        try:
            bench.appending()
        finally:
            bench.database.drop()
    bench.open()
    try:
        tail = bench.tail()
        total = bench.reading()
    finally:
        bench.database.drop()
    show(bench)
    print(f"a subscription for {options.tail} s: {tail['seen']:,} events, {tail['missed']} missed, {tail['doubled']} doubled, "
          f"from append to reader {tail['p50_ms']:.1f} ms (p50), {tail['p99_ms']:.1f} ms (p99)")
    print(f"the log read had {total:,} events")


main()
