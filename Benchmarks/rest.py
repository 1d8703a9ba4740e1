#!/usr/bin/env python3
"""Requests per second of the API: each figure the median of some runs of wrk (64 connections), beside two limits measured in
the same run: nginx answering `return 200`, and pgbench (16 clients, prepared) calling the same append. Annals and pgbench
talk to Postgres through its Unix socket if it is local.

  rest.py [--seconds N] [--runs N] [--binary FILE ...]

With several binaries each is measured in turn, run by run, so that a change of the machine's speed falls on all of them.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "Tests"))
from Rig import stack  # noqa: E402
from Rig.database import ScratchDatabase  # noqa: E402
from Rig.program import Program  # noqa: E402

PORT, NGINX_PORT = 17180, 17181
GOALS = {"cache": 0.45, "memory": 0.45, "replay": 0.3, "post": 0.75}
NGINX = """worker_processes 2; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 100000000; client_body_temp_path {folder}; proxy_temp_path {folder};
  fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{ listen 127.0.0.1:{port}; location / {{ default_type application/json; return 200 '{{"ok":true}}'; }} }} }}
"""
POST = """wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["X-Actor"] = "bench"
wrk.body = '{"title":"A document of the benchmark"}'
"""
ROW = """{"id":"01890a5d-ac96-774b-bcce-b302099a8057","title":"A document of the benchmark","content_type": null,"content_size": null,"s3_key": null,"content_sha256": null,"status":"created","created_by":"bench","created_at":"2026-11-21T13.20.38.123456Z","updated_at":"2026-11-21T13.20.38.123456Z","version": 1}"""
APPEND = f"""select * from annals.append_event('document-' || gen_random_uuid(), 'document', 0, gen_random_uuid(),
  'DocumentCreated', 1, '{{"id":"01890a5d-ac96-774b-bcce-b302099a8057","title":"A document of the benchmark","created_by":"bench","at":"2026-11-21T13.20.38.123456Z"}}',
  '{{"actor":"bench"}}', gen_random_uuid()::text, 'c', null, '{ROW}', null)
"""


def request(path, *words):
    result = subprocess.run(["curl", "-sf", f"http://127.0.0.1:{PORT}{path}", *words], capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"{path}: curl ends with {result.returncode}")
    return json.loads(result.stdout)


class Bench:
    def __init__(self, options):
        self.options, self.folder = options, stack.folder("bench")
        self.name = stack.unique("bench_")
        self.environment = dict(
            os.environ, ANNALS_POSTGRES_URL=self.database_url(), ANNALS_HTTP_PORT=str(PORT),
            ANNALS_OPERATIONS_PORT=str(PORT + 3),
            ANNALS_RELAY_SLOT=self.name, ANNALS_LOG_LEVEL="warning")
        self.database = ScratchDatabase(self.name, options.binary[0], self.environment)
        for file, text in (("nginx.conf", NGINX.format(folder=self.folder, port=NGINX_PORT)), ("post.lua", POST),
                           ("append.sql", APPEND)):
            with open(os.path.join(self.folder, file), "w") as out:
                out.write(text)

    def database_url(self):
        user, _, port = stack.postgres_parts()
        sockets = os.path.join(stack.ROOT, ".stack", "test", "postgres")
        if os.path.exists(os.path.join(sockets, f".s.PGSQL.{port}")):
            return f"postgresql://{user}@/{self.name}?host={sockets}&port={port}"
        return f"{stack.postgres_server()}/{self.name}"

    def path(self, name):
        return os.path.join(self.folder, name)

    def wrk(self, url, *words):
        result = subprocess.run(["wrk", "-t1", "-c64", f"-d{self.options.seconds}s", *words, url], capture_output=True, text=True)
        if result.returncode or "Non-2xx" in result.stdout:
            sys.exit(f"{url}: {result.stdout}{result.stderr}")
        return float(re.search(r"Requests/sec:\s+([\d.]+)", result.stdout).group(1))

    def pgbench(self):
        result = subprocess.run(
            ["pgbench", "-n", "-M", "prepared", "-c", "16", "-j", "2", "-T", str(self.options.seconds), "-f",
             self.path("append.sql"), self.database_url()], capture_output=True, text=True)
        return float(re.search(r"^tps = ([\d.]+)", result.stdout, re.M).group(1))

    def documents(self):
        """The paths of a document that is in the log, and of one that is in Redis alone."""
        created = request("/documents", "-H", "Content-Type: application/json", "-d", '{"title":"Benchmark"}')
        cached = str(uuid.uuid4())
        row = json.dumps(dict(created, id=cached), separators=(",", ":"))
        host, port = stack.address("ANNALS_REDIS_URL").removeprefix("redis://").split(":")
        subprocess.run(["redis-cli", "-h", host, "-p", port, "SET", f"document:{cached}", row, "EX", "3600"],
                       check=True, stdout=subprocess.DEVNULL)
        return f"/documents/{created['id']}", f"/documents/{cached}"

    def measure(self, binary, figures):
        base = f"http://127.0.0.1:{PORT}"
        # Without memory for what is read most.
        serve = Program([binary, "serve"], dict(self.environment, ANNALS_CACHE_MEMORY="0"), self.path("serve.log"), PORT)
        try:
            stack.Deadline(20, self.path("serve.log")).wait("the API", serve.is_ready)
            figures.setdefault("cache", []).append(self.wrk(base + self.documents()[1]))
        finally:
            serve.stop()
        serve = Program([binary, "serve"], self.environment, self.path("serve.log"), PORT)
        try:
            stack.Deadline(20, self.path("serve.log")).wait("the API", serve.is_ready)
            replayed, cached = self.documents()
            figures.setdefault("memory", []).append(self.wrk(base + cached))
            figures.setdefault("replay", []).append(self.wrk(base + replayed))
            figures.setdefault("post", []).append(self.wrk(f"{base}/documents", "-s", self.path("post.lua")))
        finally:
            serve.stop()

    def run(self):
        limits, figures = {}, {binary: {} for binary in self.options.binary}
        nginx = Program(["nginx", "-c", self.path("nginx.conf")], self.environment, self.path("nginx.out"), NGINX_PORT)
        try:
            stack.Deadline(10, self.path("nginx.log")).wait("nginx", lambda: nginx.answer("/")[0] == 200)
            for _ in range(self.options.runs):
                limits.setdefault("nginx", []).append(self.wrk(f"http://127.0.0.1:{NGINX_PORT}/"))
                limits.setdefault("pgbench", []).append(self.pgbench())
                for binary in self.options.binary:
                    self.measure(binary, figures[binary])
        finally:
            nginx.stop()
            self.database.drop()
        return limits, figures


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--binary", nargs="+")
    options = parser.parse_args()
    options.binary = options.binary or [stack.binary()]
    limits, figures = Bench(options).run()
    nginx, pgbench = (statistics.median(limits[name]) for name in ("nginx", "pgbench"))
    print(f"{'':46} per second  ratio (least to most of {options.runs} runs)")
    print(f"{'nginx, return 200':46} {nginx:10,.0f}")
    print(f"{'pgbench, the same append':46} {pgbench:10,.0f}")
    for binary, results in figures.items():
        if len(figures) > 1:
            print(binary)
        for name, title, limit, peers, against in (
                ("cache", "GET /documents/{id} from Redis", nginx, limits["nginx"], "nginx"),
                ("memory", "GET /documents/{id}, read by all at once", nginx, limits["nginx"], "nginx"),
                ("replay", "GET /documents/{id} by replay from Postgres", nginx, limits["nginx"], "nginx"),
                ("post", "POST /documents", pgbench, limits["pgbench"], "pgbench")):
            rate = statistics.median(results[name])
            ratios = [left / right for left, right in zip(results[name], peers)]
            print(f"{title:46} {rate:10,.0f}  {rate / limit:.2f} ({min(ratios):.2f} to {max(ratios):.2f}) of {against} "
                  f"(goal {GOALS[name]})")


main()
