#!/usr/bin/env python3
"""Searches a second through Annals beside the same searches sent to Elasticsearch directly, in turns in one run (wrk, 16 connections).

The documents are written through the API and indexed by the projection. What Elasticsearch is asked directly is the query that Annals sends for
`/search?q=…&size=10`, with the same alias.

  search.py [--documents 3000] [--seconds 5] [--runs 3]
"""
import argparse
import http.client
import json
import os
import random
import re
import statistics
import subprocess
import sys
import threading
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "Tests"))
from Rig import stack  # noqa: E402
from Rig.database import ScratchDatabase  # noqa: E402
from Rig.program import Program  # noqa: E402

PORT, OPERATIONS = 17_290, 17_291
GOAL = 0.8
WORDS = "lease rent tenant landlord contract invoice annual report payment notice clause party agreement term deposit".split()
LUA = """local words = {%s}
local n = 0
request = function()
  n = n + 1
  local word = words[n %% #words + 1]
  %s
end
"""
# The query that Annals sends, with the word's place.
BODY = {
    "size": 10, "track_total_hits": True, "track_scores": True, "from": 0,
    "_source": {"excludes": ["content", "owner", "values", "field_texts", "indexed_sha256", "content_missing", "deleted"]},
    "sort": [{"_score": "desc"}, {"created_at": "desc"}, {"id": "asc"}],
    "query": {"bool": {"must": [{"multi_match": {"query": "WORD", "fields": ["title^3", "content", "created_by", "field_texts"]}}],
                       "must_not": [{"term": {"deleted": True}}]}},
    "highlight": {"encoder": "html", "fields": {"title": {"number_of_fragments": 0},
                                                "content": {"fragment_size": 150, "number_of_fragments": 3}}}}


def wrk(url, script, seconds):
    result = subprocess.run(["wrk", "-t1", "-c16", f"-d{seconds}s", "--latency", "-s", script, url], capture_output=True, text=True)
    if result.returncode or "Non-2xx" in result.stdout:
        sys.exit(f"{url}: {result.stdout}{result.stderr}")
    time_99 = re.search(r"99%\s+([\d.]+)(ms|s|us)", result.stdout)
    return (float(re.search(r"Requests/sec:\s+([\d.]+)", result.stdout)[1]),
            float(time_99[1]) * {"us": 0.001, "ms": 1, "s": 1000}[time_99[2]])


def write(count):
    def some(numbers):
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
        for number in numbers:
            random.seed(number)
            body = {"title": " ".join(random.choices(WORDS, k=4)) + f" {number}",
                    "content": " ".join(random.choices(WORDS + ["of", "the", "and", "to", "shall"], k=200))}
            connection.request("POST", "/documents", json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            if answer.status != 201:
                sys.exit(f"a document got {answer.status}: {answer.read()}")
            answer.read()
    threads = [threading.Thread(target=some, args=(range(start, count, 8),)) for start in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--documents", type=int, default=3_000)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    binary, name, folder = stack.binary(), stack.unique("search"), stack.folder("bench")
    elasticsearch = stack.address("ANNALS_ELASTICSEARCH_URL")
    environment = dict(
        os.environ, ANNALS_HTTP_PORT=str(PORT), ANNALS_OPERATIONS_PORT=str(OPERATIONS), ANNALS_LOG_LEVEL="warning",
        ANNALS_POSTGRES_URL=f"{stack.postgres_server()}/{name}", ANNALS_RELAY_SLOT=name, ANNALS_RELAY_TOPIC=name + ".{aggregate}s",
        ANNALS_ELASTICSEARCH_ALIAS=name, ANNALS_PROJECTION_GROUP=name, ANNALS_PROJECTION_VIEWS="document-search",
        ANNALS_REDIS_PREFIX=f"{name}:")
    database = ScratchDatabase(name, binary, environment)
    server = Program([binary, "all"], environment, os.path.join(folder, "search.log"), PORT)

    def total():
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/search?q=", timeout=30) as answer:
                return json.loads(answer.read())["total"]
        except OSError:
            return -1
    try:
        deadline = stack.Deadline(300, folder)
        deadline.wait("the API", server.is_ready, 0.1)
        write(options.documents)
        deadline.wait("the index", lambda: total() == options.documents, 0.5)
        # Nobody writes any more: the index is at rest for both.
        time.sleep(2)
        words = ", ".join(f'"{word}"' for word in WORDS)
        scripts = {}
        for target, line in (("annals", 'return wrk.format("GET", "/search?size=10&q=" .. word)'),
                             ("elasticsearch", 'return wrk.format("POST", nil, {["Content-Type"] = "application/json"}, (string.gsub(body, "WORD", word)))')):
            scripts[target] = os.path.join(folder, f"{target}.lua")
            with open(scripts[target], "w") as out:
                out.write(f"local body = [==[{json.dumps(BODY)}]==]\n" + LUA % (words, line))
        urls = {"annals": f"http://127.0.0.1:{PORT}/",
                "elasticsearch": f"{elasticsearch}/{name}/_search?allow_partial_search_results=false"}
        found = {target: [] for target in urls}
        for target in urls:
            wrk(urls[target], scripts[target], 2)
        for _ in range(options.runs):
            for target in urls:
                found[target].append(wrk(urls[target], scripts[target], options.seconds))
        rates = {target: statistics.median(rate for rate, _ in results) for target, results in found.items()}
        times = {target: statistics.median(time for _, time in results) for target, results in found.items()}
        ratios = [ours[0] / theirs[0] for ours, theirs in zip(found["annals"], found["elasticsearch"])]
        print(f"{options.documents} documents; annals {rates['annals']:,.0f}/s (p99 {times['annals']:.1f} ms), "
              f"elasticsearch {rates['elasticsearch']:,.0f}/s (p99 {times['elasticsearch']:.1f} ms), "
              f"ratio {rates['annals'] / rates['elasticsearch']:.2f} ({min(ratios):.2f} to {max(ratios):.2f}; goal {GOAL})")
    finally:
        server.stop()
        database.drop()
        try:
            names = json.loads(urllib.request.urlopen(f"{elasticsearch}/_cat/indices/{name}*?format=json", timeout=30).read())
            for index in names:
                urllib.request.urlopen(urllib.request.Request(f"{elasticsearch}/{index['index']}", method="DELETE"), timeout=30)
        except OSError:
            pass


if __name__ == "__main__":
    main()
