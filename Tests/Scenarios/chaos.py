#!/usr/bin/env python3
"""The whole system under mixed load while a schedule made from a seed kills, pauses, restarts, empties and cuts off every part.

  chaos.py [--minutes 10] [--seed N] [--fault drop|swap]

One API, two relays, two projectors, three brokers, Postgres, Redis, Elasticsearch, the object store. Each minute has faults for
35 seconds; then everything is healed, and while the load goes on each acknowledged write must be in the log, on its topic in
order, and in every view, and states as of earlier versions must be as they were acknowledged. The same seed gives the same
schedule. `--fault` plants a mutation in the relay (a debug build), which must be convicted. Needs a real Kafka.
"""
import argparse
import collections
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from Rig import order, stack, topic  # noqa: E402
from Rig.brokers import Brokers  # noqa: E402
from Rig.database import ScratchDatabase, sql  # noqa: E402
from Rig.program import Program  # noqa: E402
from Rig.proxy import Proxies  # noqa: E402

API, RELAYS, PROJECTORS, OPERATIONS, PROXIES, BROKERS = 17_400, 17_401, 17_403, 17_406, 17_410, 17_440
CLIENTS, RATE = 8, float(os.environ.get("RATE", "40"))
FAULTY, LIMIT = 35, 150  # seconds of a minute with faults, and in which everything must agree after them
RUN = stack.unique("chaos")
FOLDER = stack.folder("chaos")
# Addresses of the stack's servers, which this process uses itself, past the proxies.
SERVERS = {"postgres": "ANNALS_POSTGRES_URL", "redis": "ANNALS_REDIS_URL", "elasticsearch": "ANNALS_ELASTICSEARCH_URL",
           "s3": "ANNALS_S3_ENDPOINT"}
PARTS = {"serve": ("postgres", "redis", "elasticsearch", "s3"), "relay": ("postgres",),
         "project": ("postgres", "redis", "elasticsearch", "s3")}
NOT_TESTED = ("loss of power (a killed process leaves what the kernel has), damaged disks, clocks that jump, partitions among the "
              "brokers themselves")


def with_port(url, port):
    """The same address at another port."""
    start, rest = url.split("://", 1)
    authority, slash, path = rest.partition("/")
    return f"{start}://{authority.rsplit(':', 1)[0]}:{port}{slash}{path}"


def port_of(url):
    return int(url.split("://", 1)[1].partition("/")[0].rsplit(":", 1)[1])


# MARK: What is broken.

class Tree:
    """A server of the stack: the process whose id a file holds, and all its children."""

    def __init__(self, service, pid_file):
        self.service, self.file = service, os.path.join(stack.ROOT, ".stack", "test", pid_file)

    def pids(self):
        children = collections.defaultdict(list)
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    with open(f"/proc/{name}/stat") as file:
                        children[int(file.read().rsplit(")", 1)[1].split()[1])].append(int(name))
                except OSError:
                    pass
        with open(self.file) as file:
            found = [int(file.read())]
        for pid in found:
            found += children[pid]
        return found

    def signal(self, number):
        for pid in self.pids():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def kill(self):
        self.signal(signal.SIGKILL)

    def start(self):
        # Without their addresses the stack takes the servers for its own.
        own = {name: value for name, value in os.environ.items() if name not in (*SERVERS.values(), "ANNALS_KAFKA_BROKERS")}
        for _ in range(3):
            result = subprocess.run([os.path.join(stack.ROOT, "scripts", "stack"), "start", "test", self.service], env=own,
                                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if result.returncode == 0:
                return
            time.sleep(1)
        sys.exit(f"{self.service} does not start: {result.stdout[-1000:]}")


class Part:
    """A process of Annals."""

    def __init__(self, program):
        self.program = program

    def signal(self, number):
        self.program.process.send_signal(number)

    def kill(self):
        self.program.kill()

    def start(self):
        self.program.start()


def kill(victim):
    victim.kill()
    return victim.start


def pause(victim):
    victim.signal(signal.SIGSTOP)
    return lambda: victim.signal(signal.SIGCONT)


class World:
    def __init__(self, binary, fault, beside=None):
        self.fault, self.binary = fault, binary
        # During a deploy two versions run side by side: the second relay and projector are this one.
        self.second = beside or binary
        self.at_end = []
        self.stopping, self.faults = threading.Event(), []

    def stop(self):
        """Heals what is broken, then stops what was started, whatever goes wrong with it."""
        self.stopping.set()
        for thread in self.faults:
            thread.join(60)
        while self.at_end:
            try:
                self.at_end.pop()()
            except Exception as error:  # the others must be stopped too
                print(f"stopping: {error!r}", file=sys.stderr)

    def start(self):
        self.routes, number = {}, PROXIES
        for part, servers in PARTS.items():
            for server in servers:
                self.routes[f"{part}-{server}"] = (number, port_of(os.environ[SERVERS[server]]))
                number += 1
        for broker in range(1, 4):
            self.routes[f"kafka-{broker}"] = (number, BROKERS + broker)
            number += 1
        self.proxies = Proxies(self.routes, os.path.join(FOLDER, "proxies.log"))
        self.at_end.append(self.proxies.stop)
        self.brokers = Brokers(os.path.join(FOLDER, "brokers"), BROKERS, lambda n: self.routes[f"kafka-{n}"][0])
        self.at_end.append(self.brokers.stop)
        self.brokers.start()
        self.kafka = ",".join(f"127.0.0.1:{self.routes[f'kafka-{n}'][0]}" for n in range(1, 4))
        self.direct = self.environment(None)
        self.database = ScratchDatabase(RUN, self.binary, self.direct)
        self.at_end.append(self.database.drop)
        self.programs = {"serve": self.program("serve", "serve", API)}
        for number in (1, 2):
            self.programs[f"relay-{number}"] = self.program("relay", "relay", RELAYS + number - 1, number)
            self.programs[f"project-{number}"] = self.program("project", "project", PROJECTORS + number - 1, number)
        self.victims = {name: Part(program) for name, program in self.programs.items()}
        for service, file in (("postgres", "postgres/pid"), ("redis", "redis/pid"), ("s3", "s3/minio-1/pid"),
                              ("elasticsearch", "elasticsearch/elasticsearch-1/pid")):
            self.victims[service] = Tree(service, file)
        for broker in self.brokers.brokers:
            self.victims[f"kafka-{broker.number}"] = broker

    def environment(self, part):
        """The settings of a part; None: of one that goes past the proxies."""
        own = dict(os.environ)
        for server, variable in SERVERS.items():
            if part and f"{part}-{server}" in self.routes:
                own[variable] = with_port(own[variable], self.routes[f"{part}-{server}"][0])
        own["ANNALS_POSTGRES_URL"] = own["ANNALS_POSTGRES_URL"].rsplit("/", 1)[0] + f"/{RUN}"
        own.update(
            ANNALS_KAFKA_BROKERS=self.kafka, ANNALS_HTTP_PORT=str(API), ANNALS_OPERATIONS_PORT=str(OPERATIONS),
            ANNALS_RELAY_SLOT=RUN, ANNALS_RELAY_TOPIC=RUN + ".{aggregate}s", ANNALS_PROJECTION_GROUP=RUN,
            ANNALS_ELASTICSEARCH_ALIAS=RUN, ANNALS_REDIS_PREFIX=f"{RUN}:", ANNALS_LOG_FORM="json")
        return own

    def program(self, part, word, port, number=1):
        environment = self.environment(part)
        environment[{"serve": "ANNALS_HTTP_PORT", "relay": "ANNALS_RELAY_PORT", "project": "ANNALS_PROJECTION_PORT"}[part]] = str(port)
        if part == "relay" and self.fault:
            environment["RELAY_FAULT"] = self.fault
        program = Program([self.binary if number == 1 else self.second, word], environment, os.path.join(FOLDER, f"{part}-{number}.log"), port)
        self.at_end.append(program.stop)
        return program

    def sql(self, text):
        return sql(RUN, text)

    def annals(self, *words, seconds=120):
        try:
            return subprocess.run([self.binary, *words], env=self.direct, capture_output=True, text=True, timeout=seconds).stdout
        except subprocess.TimeoutExpired:
            return "no answer"

    # Faults that empty a store. They end by themselves.

    def empty_redis(self):
        victim = self.victims["redis"]
        victim.kill()
        for name in ("dump.rdb",):
            path = os.path.join(stack.ROOT, ".stack", "test", "redis", name)
            if os.path.exists(path):
                os.remove(path)
        return victim.start

    def drop_index(self):
        try:
            names = ask("GET", f"{os.environ['ANNALS_ELASTICSEARCH_URL']}/_alias/{RUN}")
            for name in names:
                ask("DELETE", f"{os.environ['ANNALS_ELASTICSEARCH_URL']}/{name}")
        except OSError:
            pass
        return lambda: None

    def cut(self, name):
        self.proxies.cut(name)
        return lambda: self.proxies.heal(name)

    def begin(self, kind, name):
        """Breaks something; what is returned heals it."""
        if kind == "cut":
            return self.cut(name)
        if kind == "empty":
            return self.empty_redis() if name == "redis" else self.drop_index()
        return (kill if kind == "kill" else pause)(self.victims[name])


def ask(method, url, body=None):
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read() or b"{}")


def schedule(seed, minutes, victims, routes):
    """Faults by minute: (second, kind, name, seconds). It depends on nothing but the seed."""
    chance = random.Random(seed)
    whole = [(kind, name) for name in sorted(victims) for kind in ("kill", "kill", "pause")]
    whole += [("cut", name) for name in sorted(routes)] + [("empty", "redis"), ("empty", "elasticsearch")]
    plan, left = [], []
    for _ in range(minutes):
        faults = []
        for _ in range(chance.randint(4, 7)):
            if not left:
                # Each fault has its turn before one comes again.
                left = sorted(whole)
                chance.shuffle(left)
            faults.append((round(chance.uniform(0, FAULTY - 12), 1), *left.pop(), round(chance.uniform(1, 11), 1)))
        # One thing is broken in one way at a time. A relay that stands still while Postgres ends its session is a case that
        # docs/relay.md leaves to exactly-once.
        chosen = {name: fault for fault in sorted(faults) for name in [fault[2]]}
        if "postgres" in chosen and chosen["postgres"][1] == "kill":
            chosen = {name: fault for name, fault in chosen.items() if not (name.startswith("relay") and fault[1] == "pause")}
        plan.append(sorted(chosen.values()))
    return plan


# MARK: The load.

class Load:
    """Clients that create, change, sign, delete, read and search documents of their own, and know of each operation how it ended:
    ok, failed (refused: nothing was done) or unknown (no answer came)."""

    def __init__(self):
        self.lock, self.stopping = threading.Lock(), threading.Event()
        self.outcomes = collections.Counter()  # (operation, outcome)
        self.written = {}  # (stream, version): when it was acknowledged
        self.states = {}  # (document, version): title
        self.newest = {}  # document: the newest acknowledged version; None: deleted
        self.stale, self.hidden, self.broken = [], [], []
        # Moments at which a write was acknowledged, and a search found what its client had written.
        self.successes = {"writes": [], "searches": []}
        self.threads = [threading.Thread(target=self.client, args=(n,), daemon=True) for n in range(CLIENTS)]

    def start(self):
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(40)

    def client(self, number):
        chance, mine = random.Random(), {}
        connection = None
        while not self.stopping.is_set():
            due = time.monotonic() + CLIENTS / RATE
            connection = connection or http.client.HTTPConnection("127.0.0.1", API, timeout=10)
            operation, steps = self.choose(chance, mine, number)
            try:
                outcome = steps(connection)
            except (OSError, http.client.HTTPException, ValueError):
                connection.close()
                connection, outcome = None, "unknown"
            except Exception as error:  # an answer that no client of ours would understand
                self.broken.append(f"{operation}: {error!r}")
                connection.close()
                connection, outcome = None, "unknown"
            with self.lock:
                self.outcomes[operation, outcome] += 1
            self.stopping.wait(max(0.1 if outcome != "ok" else 0, due - time.monotonic()))

    def choose(self, chance, mine, number):
        place = chance.random()
        if len(mine) < 3 or place < 0.2:
            return "create", lambda c: self.create(c, mine, f"word{chance.randrange(10**9)} of {number}")
        identifier = chance.choice(list(mine))
        if place < 0.55:
            title = f"word{chance.randrange(10**9)} again"
            return "update", lambda c: self.write(c, mine, identifier, "PATCH", f"/documents/{identifier}", {"title": title}, title)
        if place < 0.65:
            return "sign", lambda c: self.write(c, mine, identifier, "POST", "/signatures", {
                "document_id": identifier, "signer_email": f"{chance.randrange(10**6)}@example.com", "signer_name": "Jane",
                "signature_data": "aGVsbG8="})
        if place < 0.70:
            return "delete", lambda c: self.delete(c, mine, identifier)
        if place < 0.85:
            return "read", lambda c: self.read(c, mine, identifier)
        return "search", lambda c: self.search(c, mine, identifier)

    def send(self, connection, method, path, body=None, headers=None):
        connection.request(method, path, json.dumps(body) if body else None,
                           {"Content-Type": "application/json", "X-Actor": "chaos", **(headers or {})})
        answer = connection.getresponse()
        return answer.status, answer.headers.get("Annals-Token"), answer.read()

    def note(self, token, identifier, title):
        with self.lock:
            now = time.time()
            self.successes["writes"].append(now)
            for item in token.split(","):
                stream, version = item.rsplit(":", 1)
                self.written[stream, int(version)] = now
                if stream == f"document-{identifier}":
                    self.newest[identifier] = max(self.newest.get(identifier) or 0, int(version))
                    if title:
                        self.states[identifier, int(version)] = title

    def create(self, connection, mine, title):
        status, token, body = self.send(connection, "POST", "/documents", {"title": title})
        if status != 201:
            return "failed" if status < 500 else "unknown"
        identifier = json.loads(body)["id"]
        mine[identifier] = {"token": token, "title": title}
        self.note(token, identifier, title)
        return "ok"

    def write(self, connection, mine, identifier, method, path, body, title=None):
        try:
            status, token, _ = self.send(connection, method, path, body)
        except (OSError, http.client.HTTPException):
            mine[identifier]["title"] = None  # it may have been done
            raise
        if status in (200, 201):
            mine[identifier].update(token=token, title=title or mine[identifier]["title"])
            self.note(token, identifier, title)
            return "ok"
        if status >= 500:
            mine[identifier]["title"] = None
            return "unknown"
        return "failed"

    def delete(self, connection, mine, identifier):
        document = mine.pop(identifier)
        with self.lock:
            self.newest[identifier] = None
        status, token, _ = self.send(connection, "DELETE", f"/documents/{identifier}")
        if status in (200, 204):
            if token:
                self.note(token, identifier, None)
                with self.lock:
                    self.newest[identifier] = None
            return "ok"
        del document
        return "failed" if status < 500 else "unknown"

    def read(self, connection, mine, identifier):
        document = mine[identifier]
        status, _, body = self.send(connection, "GET", f"/documents/{identifier}", headers={"Annals-At-Least": document["token"]})
        if status != 200:
            # It is there: an answer that says otherwise is wrong.
            if status in (404, 410):
                with self.lock:
                    self.stale.append((identifier, document["token"], status))
            return "failed"
        wanted = [int(t.rsplit(":", 1)[1]) for t in document["token"].split(",") if t.startswith(f"document-{identifier}:")]
        if wanted and json.loads(body)["version"] < wanted[0]:
            with self.lock:
                self.stale.append((identifier, document["token"], json.loads(body)["version"]))
        return "ok"

    def search(self, connection, mine, identifier):
        document = mine[identifier]
        if not document["title"]:
            return self.read(connection, mine, identifier)
        word = document["title"].split(" ")[0]
        status, _, body = self.send(connection, "GET", f"/search?q={word}", headers={"Annals-At-Least": document["token"]})
        if status != 200:
            return "failed"
        if json.loads(body)["total"] < 1:
            with self.lock:
                self.hidden.append((identifier, document["token"], word))
            return "ok"
        with self.lock:
            self.successes["searches"].append(time.time())
        return "ok"


# MARK: The judgement.

class Judge:
    def __init__(self, world, load):
        self.world, self.load = world, load
        # Where something is planted, the views never agree.
        self.limit, self.views_limit = LIMIT, 1 if world.fault else LIMIT
        self.vanished, self.differences, self.wrong, self.unseen = set(), [], [], []
        self.verdict = order.Verdict()
        self.recoveries, self.agreements = {"writes": [], "searches": []}, []

    def unseen_now(self, wanted):
        """How many documents the search index and the cache's versions do not have yet as they were acknowledged."""
        identifiers = list(wanted)
        try:
            found = ask("POST", f"{os.environ['ANNALS_ELASTICSEARCH_URL']}/{RUN}/_mget?_source=false", {"ids": identifiers})["docs"]
            indexed = {doc["_id"]: doc.get("_version", 0) for doc in found}
        except OSError:
            indexed = {}
        redis = str(port_of(os.environ["ANNALS_REDIS_URL"]))

        def cli(*words):
            return subprocess.run(["redis-cli", "-p", redis, *words], capture_output=True, text=True, timeout=10).stdout.split("\n")
        live = cli("GET", f"{RUN}:document-cache:live")[0]
        cached = dict(zip(identifiers, cli("MGET", *[f"{RUN}:document-cache:{live}:{i}" for i in identifiers])))
        return (sum(indexed.get(i, 0) < version for i, version in wanted.items()),
                sum(int(cached.get(i) or 0) < version if (cached.get(i) or "0").isdigit() else 1 for i, version in wanted.items()))

    def curve(self):
        """Unseen documents of those that were written before now, second by second, until there are none."""
        with self.load.lock:
            wanted = dict(random.sample([(i, v) for i, v in self.load.newest.items() if v],
                                        min(500, sum(1 for v in self.load.newest.values() if v))))
        points, begin = [], time.monotonic()
        while wanted and time.monotonic() - begin < self.views_limit:
            with self.load.lock:
                wanted = {i: v for i, v in wanted.items() if self.load.newest.get(i)}
            points.append(self.unseen_now(wanted))
            if points[-1] == (0, 0):
                break
            time.sleep(1)
        return points

    def log_has_all(self):
        with self.load.lock:
            written = set(self.load.written)
        rows = (row.rsplit("|", 1) for row in self.world.sql("select stream_id, version from annals.events").splitlines())
        self.vanished |= written - {(stream, int(version)) for stream, version in rows}

    def topics_have_all(self):
        limit = time.monotonic() + self.limit
        rows = [row.split("|") for row in self.world.sql(
            "select event_id, stream_id, version, epoch || '/' || xid from annals.events").splitlines()]
        committed = {event: (stream.split("-", 1)[1], int(version)) for event, stream, version, _ in rows}
        end = self.world.sql("select pg_current_wal_lsn()")
        while self.world.sql(f"select confirmed_flush_lsn >= '{end}' from pg_replication_slots where slot_name = '{RUN}'") != "t":
            if time.monotonic() > limit:
                self.differences.append("the relay has not caught up")
                return
            time.sleep(0.2)
        messages = [message for name in ("documents", "signatures") for message in topic.read(f"{RUN}.{name}", brokers=self.world.kafka)
                    # Those that came after the look at the log.
                    if message.event in committed or not self.is_committed(message.event)]
        self.verdict = order.check(messages, committed, {event: transaction for event, *_, transaction in rows})

    def is_committed(self, event):
        return self.world.sql(f"select count(*) from annals.events where event_id = '{event}'") == "1"

    def views_agree(self):
        """`annals verify`, again and again until it finds nothing or the time is up."""
        end, text = time.monotonic() + self.views_limit, ""
        while True:
            text = self.world.annals("verify")
            if " 0 differences" in text:
                return
            if time.monotonic() > end:
                self.differences.append(text.strip()[:1500] or "verify does not answer")
                return
            time.sleep(1)

    def states_as_of(self):
        with self.load.lock:
            sample = random.sample(sorted(self.load.states.items()), min(100, len(self.load.states)))
        for (identifier, version), title in sample:
            try:
                row = ask("GET", f"http://127.0.0.1:{API}/documents/{identifier}?as_of={version}")
                if row["title"] != title:
                    self.wrong.append((identifier, version, title, row["title"]))
            except OSError as error:
                self.wrong.append((identifier, version, title, str(error)))

    def healed(self):
        """After everything is healed, while the load goes on."""
        begin = time.monotonic()
        end = begin + self.limit
        self.unseen.append(self.curve())
        # An older projector is not ready: a newer one keeps the views whose form it does not know.
        parts = ("serve", "project-1") + (("project-2",) if self.world.second == self.world.binary else ())
        while not all(self.world.programs[name].is_ready() for name in parts):
            if time.monotonic() > end:
                self.differences.append(f"not all parts are ready after {self.limit} s")
                break
            time.sleep(0.2)
        self.log_has_all()
        self.topics_have_all()
        self.views_agree()
        self.states_as_of()
        self.agreements.append(time.monotonic() - begin)

    def note_recovery(self, ended):
        """How long after each fault's end the next write was acknowledged, and the next search found its client's write."""
        with self.load.lock:
            for kind, moments in self.load.successes.items():
                for moment in ended:
                    later = [success for success in moments if success >= moment]
                    if later:
                        self.recoveries[kind].append(min(later) - moment)

    def holds(self):
        return not (self.vanished or self.differences or self.wrong or self.load.stale or self.load.hidden
                    or self.load.broken) and self.verdict.holds()


def break_things(world, faults):
    """One minute's faults; returns the moments at which they ended."""
    begin, ended = time.monotonic(), []

    def one(at, kind, name, seconds):
        if world.stopping.wait(max(0, begin + at - time.monotonic())):
            return
        heal = world.begin(kind, name)
        world.stopping.wait(seconds)
        heal()
        ended.append(time.time())
    world.faults = [threading.Thread(target=one, args=fault, daemon=True) for fault in faults]
    for thread in world.faults:
        thread.start()
    for thread in world.faults:
        thread.join()
    return ended


def show(load, judge, seconds):
    total = collections.Counter()
    for (_, outcome), count in load.outcomes.items():
        total[outcome] += count
    print(f"operations             {total['ok']} ok, {total['failed']} failed, {total['unknown']} unknown in {seconds:.0f} s")
    for operation in ("create", "update", "sign", "delete", "read", "search"):
        print(f"  {operation:20} " + ", ".join(f"{load.outcomes[operation, o]} {o}" for o in ("ok", "failed", "unknown")))
    print(f"vanished-write         {len(judge.vanished)}")
    for name, count in judge.verdict.anomalies():
        print(f"{name:22} {count}")
    print(f"stale-read             {len(load.stale)}")
    print(f"unseen-search          {len(load.hidden)}")
    print(f"wrong-as-of            {len(judge.wrong)}")
    print(f"broken-answer          {len(load.broken)}")
    print(f"view-difference        {len(judge.differences)}")
    for kind, times in judge.recoveries.items():
        if times:
            times = sorted(times)
            print(f"recovery of {kind:10} p50 {times[len(times) // 2]:.2f} s, max {times[-1]:.2f} s, after {len(times)} faults")
    times = sorted(judge.agreements)
    if times:
        print(f"until all agreed       p50 {times[len(times) // 2]:.1f} s, max {times[-1]:.1f} s, {len(times)} times")
    for number, points in enumerate(judge.unseen, 1):
        print(f"unseen after heal {number:<4} " + " ".join(f"{search}+{cache}" for search, cache in points[:40]) + " (search+cache, each second)")
    print(f"not tested             {NOT_TESTED}")
    for line in judge.verdict.evidence():
        print(line)
    for what, items in (("vanished", sorted(judge.vanished)), ("stale", load.stale), ("unseen", load.hidden), ("as of", judge.wrong),
                        ("differs", judge.differences), ("broken", load.broken)):
        for item in items[:5]:
            print(f"  {what}: {item}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--fault", choices=["drop", "swap"])
    parser.add_argument("--beside", help="another version's binary, for the second relay and the second projector")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.randrange(10**6)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    stack.need_engines("chaos")
    world = World(stack.binary("debug" if options.fault else "release"), options.fault, options.beside)
    holds = False
    try:
        world.start()
        load = Load()
        judge = Judge(world, load)
        stack.Deadline(90, FOLDER).wait("the API", world.programs["serve"].is_ready, 0.2)
        load.start()
        world.at_end.append(load.stop)
        if not options.fault:
            stack.Deadline(120, FOLDER).wait("the views", lambda: " 0 differences" in world.annals("verify"), 1)
        print(f"seed                   {seed}, {options.minutes} minutes; data and logs: {os.path.relpath(FOLDER, stack.ROOT)}", flush=True)
        begin = time.monotonic()
        for number, faults in enumerate(schedule(seed, options.minutes, world.victims, world.routes), 1):
            started = time.monotonic()
            print(f"minute {number:<3} " + "; ".join(f"{at:.0f} s {kind} {name} {length:.0f} s" for at, kind, name, length in faults), flush=True)
            ended = break_things(world, faults)
            judge.healed()
            judge.note_recovery(ended)
            if not any(moment > time.time() - 60 for moment in load.successes["writes"]):
                judge.differences.append("no write was acknowledged for a minute")
            if judge.differences:
                break
            time.sleep(max(0, started + 60 - time.monotonic()))
        load.stop()
        judge.healed()
        show(load, judge, time.monotonic() - begin)
        holds = judge.holds() and load.outcomes["create", "ok"] > 0
    finally:
        world.stop()
    if options.fault:
        found = judge.verdict.lost if options.fault == "drop" else judge.verdict.reordered or judge.verdict.stale
        print(f"the mutation “{options.fault}” " + ("is convicted" if found else "WAS NOT FOUND"))
        sys.exit(0 if found else 1)
    print(f"it holds (seed {seed})" if holds else f"IT DOES NOT HOLD (seed {seed})")
    sys.exit(0 if holds else 1)


main()
