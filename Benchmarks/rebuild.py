#!/usr/bin/env python3
"""Rebuilding views from the log beside what the machine can do: events a second, memory, and how it grows.

The log has documents of four events each. Limits, in the same run: COPY of the same events to nothing; the same documents into
Elasticsearch by `_bulk` from files, in requests of the same size; the same keys into Redis by `redis-cli --pipe`.

  rebuild.py [--events N ...] [--views VIEW ...]
"""
import argparse
import json
import os
import re
import subprocess
import sys
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "Tests"))
from Rig import stack  # noqa: E402
from Rig.database import ScratchDatabase  # noqa: E402
from Rig.history import fill  # noqa: E402

STRETCH = 2_000  # documents in one request, as `Rebuild` has it
MEMBERS = """'id', id, 'title', 'Title of ' || n || ' after a change', 'content_type', null, 'content_size', null, 's3_key', null,
  'content_sha256', null, 'status', 'signed', 'created_by', 'user-' || n % 1000, 'created_at', '2026-11-21T13:20:38.123456Z',
  'updated_at', '2026-11-21T14:20:38.123456Z', 'version', 4"""


def request(method, url, body=None, kind="application/x-ndjson"):
    answer = urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": kind}, method=method), timeout=120)
    return json.loads(answer.read() or b"{}")


def elasticsearch_limit(database, folder, index, events):
    """Events a second if nothing is to be done but to send the documents."""
    url = stack.address("ANNALS_ELASTICSEARCH_URL")
    rows = database.sql(f"""select json_build_object({MEMBERS}, 'deleted', false) from (
      select row_number() over () n, substr(stream_id, 10) id from annals.streams) s""").splitlines()
    bodies = []
    for start in range(0, len(rows), STRETCH):
        lines = []
        for row in rows[start:start + STRETCH]:
            lines += [json.dumps({"index": {"_id": json.loads(row)["id"], "version": 4, "version_type": "external"}}), row]
        path = os.path.join(folder, f"bulk{start}.ndjson")
        with open(path, "w") as file:
            file.write("\n".join(lines) + "\n")
        bodies.append(path)
    mapping = request("GET", f"{url}/{index}", kind="application/json")[index]
    request("PUT", f"{url}/{index}-limit", json.dumps({
        "settings": {"number_of_shards": 1, "number_of_replicas": 0, "refresh_interval": "500ms"},
        "mappings": mapping["mappings"]}).encode(), "application/json")
    began = time.monotonic()
    for path in bodies:
        with open(path, "rb") as file:
            request("POST", f"{url}/{index}-limit/_bulk", file.read())
    seconds = time.monotonic() - began
    request("DELETE", f"{url}/{index}-limit")
    for path in bodies:
        os.remove(path)
    return events / seconds


def redis_limit(database, events, prefix):
    host, port = re.match(r"redis://([^:/]+):(\d+)", stack.address("ANNALS_REDIS_URL")).groups()
    ids = database.sql("select substr(stream_id, 10) from annals.streams").splitlines()
    lines = "".join(f"SET {prefix}limit:{name} 4\r\n" for name in ids).encode()
    began = time.monotonic()
    subprocess.run(["redis-cli", "-h", host, "-p", port, "--pipe"], input=lines, check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - began
    drop = f"for _, k in ipairs(redis.call('KEYS', '{prefix}limit:*')) do redis.call('UNLINK', k) end"
    subprocess.run(["redis-cli", "-h", host, "-p", port, "EVAL", drop, "0"], check=True, stdout=subprocess.DEVNULL)
    return events / seconds


def copy_limit(database, events):
    began = time.monotonic()
    with open(os.devnull, "wb") as nothing:
        subprocess.run(
            ["psql", "-q", database.url, "-c", "copy (select stream_id, version, event_id, type, schema_version, data, metadata, "
             "recorded_at from annals.events order by stream_id, version) to stdout (format binary)"], check=True, stdout=nothing)
    return events / (time.monotonic() - began)


def rebuild(binary, environment, view):
    """Events a second, and the peak of memory in MiB."""
    began = time.monotonic()
    process = subprocess.Popen([binary, "rebuild", view], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    peak, events = 0, 0
    for line in process.stdout:
        if line.startswith("{"):
            events = json.loads(line)["events"]
        try:
            with open(f"/proc/{process.pid}/status") as file:
                peak = max([peak] + [int(text.split()[1]) // 1024 for text in file if text.startswith("VmHWM")])
        except (OSError, ValueError):
            pass
    if process.wait():
        sys.exit(f"annals rebuild {view} ended with {process.returncode}")
    return events / (time.monotonic() - began), peak


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--views", nargs="+", default=["document-search", "document-cache", "document-lists"])
    options = parser.parse_args()
    binary, name, folder = stack.binary(), stack.unique("rebuild"), stack.folder("rebuild")
    environment = dict(
        os.environ, ANNALS_POSTGRES_URL=f"{stack.postgres_server()}/{name}", ANNALS_ELASTICSEARCH_ALIAS=name,
        ANNALS_REDIS_PREFIX=f"{name}:", ANNALS_PROJECTION_GROUP=name, ANNALS_RELAY_TOPIC=name + ".{aggregate}s",
        ANNALS_LOG_LEVEL="warning", ANNALS_ELASTICSEARCH_REPLICAS="0")
    database, done = ScratchDatabase(name, binary, environment), 0
    try:
        print("| events | view | events/s | limit | of the limit | peak MiB |\n|---|---|---|---|---|---|", flush=True)
        for events in sorted(options.events):
            fill(database, done // 4 + 1, (events - done) // 4)
            done = events
            database.sql("analyze annals.events")
            copy = copy_limit(database, events)
            print(f"| {events:,} | COPY to nothing | {copy:,.0f} | | | |", flush=True)
            for view in options.views:
                rate, peak = rebuild(binary, environment, view)
                limit = (elasticsearch_limit(database, folder, live_index(name), events) if view == "document-search"
                         else redis_limit(database, events, f"{name}:"))
                # Reading and writing take turns, so the limit is that of both together.
                both = 1 / (1 / limit + 1 / copy)
                print(f"| {events:,} | {view} | {rate:,.0f} | {limit:,.0f} alone, {both:,.0f} with COPY | {rate / limit:.2f}, "
                      f"{rate / both:.2f} | {peak} |", flush=True)
    finally:
        url = stack.address("ANNALS_ELASTICSEARCH_URL")
        for index in request("GET", f"{url}/_alias?format=json"):
            if index.startswith(name):
                request("DELETE", f"{url}/{index}")
        database.drop()


def live_index(name):
    return sorted(request("GET", f"{stack.address('ANNALS_ELASTICSEARCH_URL')}/_alias/{name}"))[0]


main()
