#!/usr/bin/env python3
"""How long after its answer a write can be read in the cache and found by the search: p50, p95 and p99 in milliseconds.

`annals all` on Postgres, Kafka, Redis and Elasticsearch, with documents that are created at a steady rate. Peers in the same run: the
same rows that the writer itself SETs in Redis, and indexes in Elasticsearch: what is left then is the look and the refresh.

  freshness.py [--rates 50 500] [--seconds 20] [--runs 3] [--refresh 500ms 1s]
"""
import argparse
import http.client
import json
import multiprocessing
import multiprocessing.connection
import os
import re
import socket
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "Tests"))
from Rig import stack  # noqa: E402
from Rig.database import ScratchDatabase  # noqa: E402
from Rig.program import Program  # noqa: E402

PORT, WRITERS = 17_280, 4
GOALS = {"cached": 50, "500ms": 700, "1s": 1_200}


class Redis:
    """A connection that asks for many keys at once."""

    def __init__(self):
        host, port = re.match(r"redis://([^:/]+):(\d+)", stack.address("ANNALS_REDIS_URL")).groups()
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        self.file = self.socket.makefile("rb")

    def ask(self, *words):
        self.socket.sendall(f"*{len(words)}\r\n".encode() + b"".join(f"${len(w.encode())}\r\n{w}\r\n".encode() for w in words))
        return self.reply()

    def reply(self):
        line = self.file.readline()[:-2]
        kind, rest = line[:1], line[1:]
        if kind == b"*":
            return [self.reply() for _ in range(int(rest))]
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        return rest


class Elasticsearch:
    def __init__(self):
        host, port = re.match(r"http://([^:/]+):(\d+)", stack.address("ANNALS_ELASTICSEARCH_URL")).groups()
        self.connection = http.client.HTTPConnection(host, int(port), timeout=30)

    def ask(self, method, path, body=None, kind="application/json"):
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        self.connection.request(method, path, data, {"Content-Type": kind})
        return json.loads(self.connection.getresponse().read() or b"{}")

    def found(self, index, ids):
        hits = self.ask("POST", f"/{index}/_search", {
            "size": len(ids), "_source": False, "query": {"terms": {"id": list(ids)}}}).get("hits", {}).get("hits", [])
        return {hit["_id"] for hit in hits}


def through_annals(path, number):
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)

    def write(count):
        connection.request("POST", "/documents", json.dumps({"title": f"Document {count} of {number}"}),
                           {"Content-Type": "application/json", "X-Actor": "bench"})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 201:
            sys.exit(f"a write got {answer.status}")
        return json.loads(body)["id"]
    return write


def directly(index, number):
    redis, elasticsearch = Redis(), Elasticsearch()

    def write(count):
        name = f"{number}-{count}-{time.monotonic_ns()}"
        row = json.dumps({"id": name, "title": f"Document {count} of {number}"})
        redis.ask("SET", f"{index}:{name}", row, "EX", "600")
        elasticsearch.ask("PUT", f"/{index}/_doc/{name}", row.encode())
        return name
    return write


def writer(make, argument, number, rate, seconds, pipes):
    """Writes at a steady rate, and tells each id with the moment of its answer."""
    write, begin = make(argument, number), time.monotonic()
    for count in range(int(rate * seconds)):
        time.sleep(max(0, begin + count / rate - time.monotonic()))
        written = (write(count), time.monotonic())
        for pipe in pipes:
            pipe.send(written)
    for pipe in pipes:
        pipe.send(None)


def watch(look, pause, pipes, limit, result):
    """Looks for what was written until all is seen, and tells after how many ms each was, and how long the writing took."""
    missing, times, open_pipes, end, moments = {}, [], set(pipes), time.monotonic() + limit, []
    while open_pipes or missing:
        if time.monotonic() > end:
            result.send(f"{len(missing)} of the writes were never seen")
            return
        for pipe in multiprocessing.connection.wait(list(open_pipes), 0 if missing else 0.01):
            while pipe in open_pipes and pipe.poll():
                item = pipe.recv()
                if item is None:
                    open_pipes.discard(pipe)
                else:
                    missing[item[0]] = item[1]
                    moments.append(item[1])
        if missing:
            seen, now = look(list(missing)), time.monotonic()
            times += [(now - missing.pop(name)) * 1_000 for name in seen]
            time.sleep(pause)
    result.send((times, max(moments) - min(moments)))


def look_in_redis(key):
    redis = Redis()

    def look(names):
        return [name for name, value in zip(names, redis.ask("MGET", *[key + name for name in names])) if value is not None]
    return look


def look_in_elasticsearch(index):
    elasticsearch = Elasticsearch()
    return lambda names: elasticsearch.found(index, names)


def watcher(make, argument, *rest):
    watch(make(argument), *rest)


def measure(make, argument, index, key, rate, seconds):
    """Times until each write was in Redis and in Elasticsearch, in ms, and the writes a second that there were."""
    pipes = [[multiprocessing.Pipe(False) for _ in range(WRITERS)] for _ in range(2)]
    results, processes = [multiprocessing.Pipe(False) for _ in range(2)], []
    for number, (look, place, pause) in enumerate(((look_in_redis, key, 0.0005), (look_in_elasticsearch, index, 0.02))):
        processes.append(multiprocessing.Process(
            target=watcher, args=(look, place, pause, [reading for reading, _ in pipes[number]], seconds + 60, results[number][1])))
    for number in range(WRITERS):
        processes.append(multiprocessing.Process(
            target=writer, args=(make, argument, number, rate / WRITERS, seconds, [pipes[0][number][1], pipes[1][number][1]])))
    for process in processes:
        process.daemon = True
        process.start()
    times = {}
    for kind, (reading, _) in zip(("cached", "searchable"), results):
        if not reading.poll(seconds + 90):
            sys.exit(f"{kind}: no answer")
        answer = reading.recv()
        if isinstance(answer, str):
            sys.exit(f"{kind}: {answer}")
        times[kind], length = answer
        times["rate"] = len(times[kind]) / max(length, 0.001)
    for process in processes:
        process.join(10)
        if process.exitcode:
            sys.exit("a client failed")
    return times


def quantiles(values):
    values = sorted(values)
    return [values[min(len(values) - 1, int(len(values) * part))] for part in (0.5, 0.95, 0.99)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rates", type=int, nargs="+", default=[50, 500])
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--refresh", nargs="+", default=["500ms", "1s"])
    options = parser.parse_args()
    binary, folder = stack.binary(), stack.folder("freshness")
    elasticsearch = Elasticsearch()
    print("| refresh | writes/s | | p50 | p95 | p99 | the writer's own: p50 | p95 | p99 | p99 of the goal |\n|---|---|---|---|---|---|---|---|---|---|",
          flush=True)
    for refresh in options.refresh:
        name = stack.unique("fresh")
        environment = dict(
            os.environ, ANNALS_POSTGRES_URL=f"{stack.postgres_server()}/{name}", ANNALS_HTTP_PORT=str(PORT),
            ANNALS_OPERATIONS_PORT=str(PORT + 1), ANNALS_RELAY_SLOT=name, ANNALS_RELAY_TOPIC=name + ".{aggregate}s",
            ANNALS_PROJECTION_GROUP=name, ANNALS_ELASTICSEARCH_ALIAS=name, ANNALS_REDIS_PREFIX=f"{name}:",
            ANNALS_ELASTICSEARCH_REFRESH_INTERVAL=refresh, ANNALS_LOG_LEVEL="warning")
        database = ScratchDatabase(name, binary, environment)
        program = Program([binary, "all"], environment, os.path.join(folder, "all.log"), PORT)
        try:
            stack.Deadline(60, folder).wait("the API", program.is_ready, 0.2)
            elasticsearch.ask("PUT", f"/{name}-peer", {
                "settings": {"number_of_shards": 1, "number_of_replicas": 0, "refresh_interval": refresh},
                "mappings": {"dynamic": False, "properties": {"id": {"type": "keyword"}, "title": {"type": "text"}}}})
            measure(through_annals, "", name, "document:", 20, 5)  # the views are made
            for rate in options.rates:
                own, peer = ({"cached": [], "searchable": [], "rate": []} for _ in range(2))
                for _ in range(options.runs):
                    for figures, run in (
                            (own, measure(through_annals, "", name, "document:", rate, options.seconds)),
                            (peer, measure(directly, f"{name}-peer", f"{name}-peer", f"{name}-peer:", rate, options.seconds))):
                        for kind, values in run.items():
                            figures[kind].append(values if kind == "rate" else quantiles(values))
                for kind in ("cached", "searchable"):
                    mine, others = ([statistics.median(column) for column in zip(*figures[kind])] for figures in (own, peer))
                    goal = GOALS.get("cached" if kind == "cached" else refresh)
                    share = f"{mine[2] / goal:.2f} of {goal} ms" if goal else ""
                    rates = " and ".join(f"{statistics.median(figures['rate']):.0f}" for figures in (own, peer))
                    print(f"| {refresh} | {rates} of {rate} | {kind} | " + " | ".join(f"{v:.1f}" for v in (*mine, *others)) + f" | {share} |", flush=True)
        finally:
            program.stop()
            for index in elasticsearch.ask("GET", "/_alias?format=json"):
                if index.startswith(name):
                    elasticsearch.ask("DELETE", f"/{index}")
            database.drop()


if __name__ == "__main__":
    main()
