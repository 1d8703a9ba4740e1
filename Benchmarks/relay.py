#!/usr/bin/env python3
"""The relay beside pg_recvlogical and Debezium, in one run on one machine.

  relay.py [--rows N] [--runs N] [--seconds N] [--without-debezium] [--without-backlog]
           [--without-live] [--write FILE]

A backlog of outbox rows of about 500 bytes, in transactions of 1 and of 100 rows, is read (a) by pg_recvlogical to
nothing, (b) by Annals to nothing, (c) by Annals to the broker, by the WAL alone and as it comes (a backlog is read from the
table then), (d) by Debezium with its Outbox Event Router to the same
broker, (e) by Annals from the table to the broker, without and with lz4. Then rows are written at 200 and 1,000 a second,
and the time from the insert to an independent consumer's receipt is taken; beside it that of a producer that writes as much
straight to the broker: its limit. Each figure is the median of the runs. Annals
and pg_recvlogical read through the Unix socket, and once through TCP; Debezium has TCP alone. Debezium is timed from its
first message to its last: its start does not count.
"""
import argparse
import http.client
import os
import re
import select
import shutil
import signal
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "Tests"))
from Rig import database, stack  # noqa: E402

DIR = stack.folder("bench")
_, HOST, DBPORT = stack.postgres_parts()
BROKERS = stack.address("ANNALS_KAFKA_BROKERS")
DATABASE, PORT, DEBEZIUM_PORT = "bench_relay", 17_083, 17_084
SOCKETS = os.path.join(stack.ROOT, ".stack", "test", "postgres")
TCP = f"postgresql://annals@{HOST}:{DBPORT}/{DATABASE}"
SOCKET = f"postgresql://annals@/{DATABASE}?host={SOCKETS}&port={DBPORT}"
if not os.path.exists(os.path.join(SOCKETS, f".s.PGSQL.{DBPORT}")):
    SOCKET = TCP
RUN = stack.unique("b")
TICKS = os.sysconf("SC_CLK_TCK")
LIMIT = 120


def sql(text, name=DATABASE):
    return database.sql(name, text)


def progress(text):
    print(f"  {text}", file=sys.stderr, flush=True)


class Usage:
    """CPU seconds and peak memory of a process."""

    def __init__(self, pid):
        self.pid = pid

    def seconds(self):
        with open(f"/proc/{self.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def megabytes(self):
        with open(f"/proc/{self.pid}/status") as file:
            return int(re.search(r"VmHWM:\s+(\d+)", file.read()).group(1)) / 1024


def measure(pid, count, rows):
    """From the first message to the last: rows a second, CPU microseconds a row, megabytes."""
    usage, deadline = Usage(pid), time.monotonic() + LIMIT
    seen = 0
    while seen == 0:
        if time.monotonic() > deadline:
            sys.exit("no first message came")
        time.sleep(0.005)
        seen = count()
    first, start, before = seen, time.monotonic(), usage.seconds()
    while seen < rows:
        if time.monotonic() > deadline:
            sys.exit(f"{seen} of {rows} messages came in {LIMIT} s")
        time.sleep(0.02)
        seen = count()
    elapsed = time.monotonic() - start
    moved = max(1, rows - first)
    return moved / elapsed, (usage.seconds() - before) * 1e6 / moved, usage.megabytes()


class Annals:
    def __init__(self, binary, slot, destination, url=SOCKET, compression="none", topic=None, catch_up="64MiB"):
        environment = dict(
            os.environ, ANNALS_POSTGRES_URL=url, ANNALS_RELAY_SLOT=slot, ANNALS_RELAY_DESTINATION=destination,
            ANNALS_RELAY_TOPIC=(topic or f"{RUN}.{slot}") + ".{aggregate}", ANNALS_RELAY_PARTITIONS="1",
            ANNALS_RELAY_COMPRESSION=compression, ANNALS_RELAY_CATCH_UP=catch_up, ANNALS_RELAY_PORT=str(PORT), ANNALS_LOG_FORM="json")
        self.log = open(os.path.join(DIR, "annals.log"), "ab")
        self.process = subprocess.Popen([binary, "relay"], env=environment, stdout=self.log, stderr=self.log)

    def count(self):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=2)
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        except (OSError, http.client.HTTPException):
            return 0
        found = re.search(r"^annals_relay_delivered_total(?:\{[^}]*\})? (\d+)", text, re.M)
        return int(found.group(1)) if found else 0

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Debezium:
    def __init__(self, slot, topic, compression="none", settings=()):
        self.folder = os.path.join(DIR, f"debezium-{slot}")
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        self.topic = topic
        path = os.path.join(self.folder, "connector.properties")
        with open(path, "w") as file:
            file.write("\n".join([
                "name=bench", "connector.class=io.debezium.connector.postgresql.PostgresConnector", "tasks.max=1",
                "plugin.name=pgoutput", f"database.hostname={HOST}", f"database.port={DBPORT}", "database.user=annals",
                "database.password=none", f"database.dbname={DATABASE}", "topic.prefix=bench", f"slot.name={slot}",
                "publication.name=annals_outbox", "publication.autocreate.mode=disabled", "snapshot.mode=no_data",
                "table.include.list=annals.outbox", "tombstones.on.delete=false", "transforms=outbox",
                "transforms.outbox.type=io.debezium.transforms.outbox.EventRouter",
                "transforms.outbox.table.field.event.id=event_id", "transforms.outbox.table.field.event.key=key",
                "transforms.outbox.table.field.event.payload=after", "transforms.outbox.route.by.field=category",
                f"transforms.outbox.route.topic.replacement={topic}",
                "value.converter=org.apache.kafka.connect.storage.StringConverter",
                f"producer.override.compression.type={compression}", *settings, ""]))
        subprocess.run([self.engine(), "debezium", "start", self.folder, "--connector", path, "--kafka", BROKERS,
                        "--port", str(DEBEZIUM_PORT)], check=True, stdout=subprocess.DEVNULL)
        with open(os.path.join(self.folder, "debezium-1", "pid")) as file:
            self.pid = int(file.read())

    @staticmethod
    def engine():
        return os.path.join(os.environ["ANNALS_ENGINES"], "engine")

    def count(self):
        return offset(self.topic)

    def stop(self):
        subprocess.run([self.engine(), "debezium", "stop", self.folder], stdout=subprocess.DEVNULL)


def offset(topic):
    result = subprocess.run(["kcat", "-b", BROKERS, "-Q", "-t", f"{topic}:0:-1"], capture_output=True, text=True)
    found = re.search(r"offset (\d+)", result.stdout)
    return int(found.group(1)) if found else 0


NAMES = iter(range(10**6))


WATERMARK = {}  # what was published when a base slot was made


class Slot:
    """A copy of the slot that stands before the backlog; Annals takes it as one behind which nothing is missing."""

    def __init__(self, base=None):
        self.name = f"{RUN}_{next(NAMES)}"
        if base:
            sql(f"select pg_copy_logical_replication_slot('{base}', '{self.name}')")
            sql(f"""insert into annals.relays (relay, source, ready, start, watermark, watermark_lsn, epoch)
                select '{self.name}', 'wal', true, '0/0', '{WATERMARK[base][0]}', '{WATERMARK[base][1]}', epoch
                from annals.log""")

    def drop(self):
        deadline = time.monotonic() + 20
        while sql(f"select active from pg_replication_slots where slot_name = '{self.name}'") == "t":
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        sql(f"select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = '{self.name}'")


def read_annals(binary, base, rows, destination, url=SOCKET, compression="none", catch_up="0"):
    slot = Slot(base)
    annals = Annals(binary, slot.name, destination, url, compression, catch_up=catch_up)
    try:
        result = measure(annals.process.pid, annals.count, rows)
    finally:
        annals.stop()
        slot.drop()
    if destination == "kafka" and (found := offset(f"{RUN}.{slot.name}.document")) != rows:
        sys.exit(f"{found} messages on the topic, {rows} rows in the outbox")
    return result


def read_debezium(base, rows, compression="none"):
    slot = Slot(base)
    debezium = Debezium(slot.name, f"{RUN}.dbz.{slot.name}", compression)
    try:
        return measure(debezium.pid, debezium.count, rows)
    finally:
        debezium.stop()
        slot.drop()


def read_limit(base, rows, end, url):
    slot = Slot(base)
    binary = max((os.path.join(p, "pg_recvlogical") for p in subprocess.run(
        "ls -d /usr/lib/postgresql/*/bin", shell=True, capture_output=True, text=True).stdout.split()))
    started = time.monotonic()
    process = subprocess.Popen(
        [binary, "-d", url, "--slot", slot.name, "--start", "-f", "/dev/null", "--endpos", end, "--no-loop",
         "-o", "proto_version=1", "-o", "publication_names=annals_outbox", "-o", "binary=true"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    elapsed = time.monotonic() - started
    slot.drop()
    return rows / elapsed, (usage.ru_utime + usage.ru_stime) * 1e6 / rows, usage.ru_maxrss / 1024


def medians(runs, body):
    results = [body() for _ in range(runs)]
    return tuple(statistics.median(column) for column in zip(*results))


def fill(rows, size):
    sql("truncate annals.outbox")
    sql(f"""do $$ begin for i in 1..{rows // size} loop
        insert into annals.outbox (sequence, category, key, op, after, event_id, type, version, recorded_at)
          select nextval('annals.event_sequence'), 'document', 'key-' || ((i * {size} + n) % 5000), 'c',
            json_build_object('id', 'key-' || ((i * {size} + n) % 5000), 'title', 'A document of the benchmark', 'text',
              repeat(md5((i * {size} + n)::text), 9)), gen_random_uuid(), 'DocumentCreated', 1, clock_timestamp()
          from generate_series(1, {size}) n;
        commit; end loop; end $$""")
    sql("checkpoint")


# MARK: Live

def inserting(_, rate, seconds):
    """Starts rows on their way."""
    script = os.path.join(DIR, "live.sql")
    with open(script, "w") as file:
        file.write("""insert into annals.outbox (sequence, category, key, op, after, event_id, type, version, recorded_at)
  select nextval('annals.event_sequence'), 'document', 'key-' || (random() * 5000)::int, 'c',
    json_build_object('at', extract(epoch from clock_timestamp()), 'text', repeat('x', 300)), gen_random_uuid(),
    'DocumentCreated', 1, clock_timestamp();
""")
    return subprocess.Popen(["pgbench", "-n", "-M", "prepared", "-c", "4", "-R", str(rate), "-T", str(seconds),
                             "-f", script, TCP], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def producing(topic, rate, seconds):
    """Starts messages of the same size on their way, through the same library and without Postgres: what broker and machine
    take by themselves."""
    return subprocess.Popen([sys.executable, "-c", f"""
import ctypes, random, time
library = ctypes.CDLL("librdkafka.so.1")
library.rd_kafka_conf_new.restype = library.rd_kafka_new.restype = library.rd_kafka_topic_new.restype = ctypes.c_void_p
configuration, problem = library.rd_kafka_conf_new(), ctypes.create_string_buffer(512)
for name, value in (("bootstrap.servers", "{BROKERS}"), ("enable.idempotence", "true"), ("linger.ms", "0.5"),
                    ("compression.type", "lz4")):
    assert library.rd_kafka_conf_set(ctypes.c_void_p(configuration), name.encode(), value.encode(), problem, 512) == 0
producer = ctypes.c_void_p(library.rd_kafka_new(0, ctypes.c_void_p(configuration), problem, 512))
topic = ctypes.c_void_p(library.rd_kafka_topic_new(producer, b"{topic}", None))
start, sent, text = time.time(), 0, "x" * 900
while sent < {rate * seconds}:
    while sent < (time.time() - start) * {rate}:
        value = ('{{"at": %.6f, "text": "%s"}}' % (time.time(), text)).encode()
        library.rd_kafka_produce(topic, 0, 2, value, ctypes.c_size_t(len(value)), b"key", ctypes.c_size_t(3), None)
        sent += 1
    library.rd_kafka_poll(producer, 0)
    time.sleep(0.0003)
library.rd_kafka_flush(producer, 5000)
"""])


def live(topic, rate, seconds, write=inserting):
    """From the writing to the receipt, in milliseconds: 50th, 95th and 99th percentile."""
    consumer = subprocess.Popen(["kcat", "-b", BROKERS, "-C", "-u", "-q", "-t", topic, "-p", "0", "-o", "end",
                                 "-X", "fetch.wait.max.ms=50"], stdout=subprocess.PIPE)
    time.sleep(1.5)
    writer = write(topic, rate, seconds)
    latencies, rest, end = [], b"", None
    os.set_blocking(consumer.stdout.fileno(), False)
    while end is None or time.monotonic() < end:
        if end is None and writer.poll() is not None:
            end = time.monotonic() + 3
        if select.select([consumer.stdout], [], [], 0.05)[0]:
            rest += consumer.stdout.read() or b""
            now = time.time()
            *lines, rest = rest.split(b"\n")
            for line in lines:
                if found := re.search(rb'"at"\s*:\s*([0-9.]+)', line):
                    latencies.append((now - float(found.group(1))) * 1000)
    consumer.kill()
    consumer.wait()
    # The first second warms everything up.
    latencies = sorted(latencies[rate:])
    if len(latencies) < rate:
        sys.exit(f"{len(latencies)} messages came while {rate} a second were written")
    return tuple(latencies[int(len(latencies) * part)] for part in (0.5, 0.95, 0.99))


def live_floor(rates, seconds):
    topic = f"{RUN}.floor{next(NAMES)}"
    subprocess.run(["kcat", "-b", BROKERS, "-P", "-t", topic], input=b"{}\n", check=True)
    return [live(topic, rate, seconds, producing) for rate in rates]


def live_annals(binary, rates, seconds):
    sql("truncate annals.outbox")
    slot = Slot()
    sql(f"select pg_create_logical_replication_slot('{slot.name}', 'pgoutput')")
    sql(f"insert into annals.relays (relay, source, ready, start) values ('{slot.name}', 'wal', true, '0/0')")
    annals = Annals(binary, slot.name, "kafka")
    topic = f"{RUN}.{slot.name}.document"
    try:
        warm_up(topic)
        return [live(topic, rate, seconds) for rate in rates]
    finally:
        annals.stop()
        slot.drop()


def live_debezium(rates, seconds, settings=()):
    sql("truncate annals.outbox")
    slot = Slot()
    sql(f"select pg_create_logical_replication_slot('{slot.name}', 'pgoutput')")
    topic = f"{RUN}.dbz.{slot.name}"
    debezium = Debezium(slot.name, topic, settings=settings)
    try:
        warm_up(topic)
        return [live(topic, rate, seconds) for rate in rates]
    finally:
        debezium.stop()
        slot.drop()


def warm_up(topic):
    """The topic is there once something has come through."""
    deadline = time.monotonic() + 60
    while offset(topic) == 0:
        if time.monotonic() > deadline:
            sys.exit("nothing comes through")
        sql("insert into annals.outbox (sequence, category, key, op, after, event_id, type, version, recorded_at) "
            "select nextval('annals.event_sequence'), 'document', 'k', 'c', '{}', gen_random_uuid(), 'DocumentCreated', 1, now()")
        time.sleep(0.5)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--without-debezium", action="store_true")
    parser.add_argument("--without-live", action="store_true")
    parser.add_argument("--without-backlog", action="store_true")
    parser.add_argument("--write")
    options = parser.parse_args()
    has_debezium = bool(os.environ.get("ANNALS_ENGINES")) and not options.without_debezium
    binary = stack.binary()
    sql(f"drop database if exists {DATABASE} with (force)", "postgres")
    sql(f"create database {DATABASE}", "postgres")
    subprocess.run([binary, "migrate"], env=dict(os.environ, ANNALS_POSTGRES_URL=TCP), check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    rows, runs, lines = options.rows, options.runs, []

    def line(text=""):
        lines.append(text)
        print(text, flush=True)

    for size in () if options.without_backlog else (1, 100):
        base = f"{RUN}_base{size}"
        sql(f"select pg_create_logical_replication_slot('{base}', 'pgoutput')")
        WATERMARK[base] = sql("select pg_current_snapshot(), pg_current_wal_insert_lsn()").split("|")
        progress(f"writing {rows} rows in transactions of {size}")
        fill(rows, size)
        end = sql("select pg_current_wal_insert_lsn()")
        table = []

        def add(name, body, count=runs):
            progress(name)
            table.append((name, medians(count, body)))

        add("(a) pg_recvlogical to nothing", lambda: read_limit(base, rows, end, SOCKET))
        add("(b) Annals to nothing", lambda: read_annals(binary, base, rows, "nothing"))
        add("(c) Annals to Kafka", lambda: read_annals(binary, base, rows, "kafka"))
        add("(c) with lz4", lambda: read_annals(binary, base, rows, "kafka", compression="lz4"))
        add("(c) as it comes: it catches up", lambda: read_annals(binary, base, rows, "kafka", catch_up="64MiB"))
        if has_debezium:
            add("(d) Debezium to Kafka", lambda: read_debezium(base, rows))
            add("(d) with lz4", lambda: read_debezium(base, rows, "lz4"))
        add("(e) Annals from the table", lambda: read_annals(binary, None, rows, "kafka"))
        add("(e) with lz4", lambda: read_annals(binary, None, rows, "kafka", compression="lz4"))
        if size == 1:
            add("(a) over TCP", lambda: read_limit(base, rows, end, TCP), 1)
            add("(b) over TCP", lambda: read_annals(binary, base, rows, "nothing", TCP), 1)
            add("(c) over TCP", lambda: read_annals(binary, base, rows, "kafka", TCP), 1)
        sql(f"select pg_drop_replication_slot('{base}')")
        rates = {name: result[0] for name, result in table}
        limit, debezium = rates["(a) pg_recvlogical to nothing"], rates.get("(d) Debezium to Kafka")
        line()
        line(f"Backlog of {rows} rows in transactions of {size}, medians of {runs}:")
        line()
        line("| | rows/s | of (a) | of (d) | CPU µs/row | peak MB |")
        line("|---|---|---|---|---|---|")
        for name, (rate, cpu, memory) in table:
            peer = rates.get("(d) with lz4") if "lz4" in name else debezium
            times = f"{rate / peer:.1f}" if peer else "-"
            line(f"| {name} | {rate:,.0f} | {rate / limit:.2f} | {times} | {cpu:.1f} | {memory:.0f} |")
    if not options.without_live:
        rates = (200, 1_000)
        ways = [("a producer alone", lambda: live_floor(rates, options.seconds)),
                ("(c) Annals", lambda: live_annals(binary, rates, options.seconds))]
        if has_debezium:
            ways.append(("(d) poll.interval.ms=5", lambda: live_debezium(rates, options.seconds, ["poll.interval.ms=5"])))
        # In turns: what the machine does meanwhile falls on all of them.
        results = {name: [] for name, _ in ways}
        for run in range(runs):
            for name, body in ways:
                progress(f"live, {run + 1} of {runs}: {name}")
                results[name].append(body())
        table = [(name, [tuple(statistics.median(part) for part in zip(*figures)) for figures in zip(*result)])
                 for name, result in results.items()]
        if has_debezium:
            progress("Debezium as it comes, live")
            table.append(("(d) as it comes", live_debezium(rates, options.seconds)))
        line()
        line(f"From the insert to the consumer's receipt, {options.seconds} s each, in ms:")
        line()
        line("| | " + " | ".join(f"{rate}/s p50 | p95 | p99" for rate in rates) + " |")
        line("|---|" + "---|" * 3 * len(rates))
        for name, figures in table:
            line(f"| {name} | " + " | ".join(f"{value:.1f}" for figure in figures for value in figure) + " |")
        line()
        for index, rate in enumerate(rates):
            p99 = [figures[index][2] for _, figures in table]
            peer = f", {p99[1] / p99[2]:.2f} of Debezium's with poll.interval.ms=5" if has_debezium else ""
            line(f"p99 of (c) at {rate}/s: {p99[1] / p99[0]:.2f} of the producer's alone{peer}.")
    sql(f"drop database if exists {DATABASE} with (force)", "postgres")
    if options.write:
        with open(options.write, "a") as file:
            file.write("\n".join(lines) + "\n")


main()
