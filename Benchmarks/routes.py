#!/usr/bin/env python3
"""Requests per second as an installation has them: with tokens, through the gateway, through PgBouncer. Each figure is the median of some
runs of wrk (64 connections), as a ratio to a limit of the same run:

  POST /documents with a token                     pgbench, 16 clients, prepared, the same append
  POST /documents with a token, over PgBouncer     the same through PgBouncer, without prepared statements
  GET … with a token, through the gateway          the gateway before an nginx that answers `return 200`

  routes.py [--seconds N] [--runs N] [--binary FILE]
"""
import argparse
import os
import re
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "Tests"))
from Rig import stack, tokens  # noqa: E402
from Rig.database import ScratchDatabase  # noqa: E402
from Rig.program import Program  # noqa: E402

PORT, GATEWAY, EMPTY, BARE = 17280, 17290, 17292, 17294
SECRET = "a secret of this run, which nobody else has"
READS = {"memory": "/documents/{id}", "audit": "/documents/{id}/audit"}
TITLES = {"memory": "GET /documents/{id}", "audit": "GET /documents/{id}/audit"}
NGINX = """worker_processes 2; daemon off; pid {folder}/empty.pid; error_log {folder}/empty.log;
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 100000000; client_body_temp_path {folder}; proxy_temp_path {folder};
  fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{ listen 127.0.0.1:{port}; location / {{ default_type application/json; return 200 '{{"ok":true}}'; }} }} }}
"""
ROW = """{"id":"01890a5d-ac96-774b-bcce-b302099a8057","title":"A document of the benchmark","content_type": null,"content_size": null,"s3_key": null,"content_sha256": null,"status":"created","created_by":"bench","created_at":"2026-11-21T13.20.38.123456Z","updated_at":"2026-11-21T13.20.38.123456Z","version": 1}"""
APPEND = f"""select * from annals.append_event('document-' || gen_random_uuid(), 'document', 0, gen_random_uuid(),
  'DocumentCreated', 1, '{{"id":"01890a5d-ac96-774b-bcce-b302099a8057","title":"A document of the benchmark","created_by":"bench","at":"2026-11-21T13.20.38.123456Z"}}',
  '{{"actor":"bench"}}', gen_random_uuid()::text, 'c', null, '{ROW}', null)
"""


class Bench:
    def __init__(self, options):
        self.options, self.folder, self.name = options, stack.folder("routes"), stack.unique("routes_")
        self.pooler = stack.address("POOLER_URL").rsplit("/", 1)[0] + "/" + self.name
        self.direct = f"{stack.postgres_server()}/{self.name}"
        self.environment = dict(
            os.environ, ANNALS_POSTGRES_URL=self.direct, ANNALS_AUTH_MODE="tokens", ANNALS_AUTH_SECRET=SECRET,
            ANNALS_HTTP_TRUSTED_PROXIES="127.0.0.1", ANNALS_GRPC_PORT="0", ANNALS_LOG_LEVEL="warning", ANNALS_REDIS_PREFIX=self.name + ":",
            ANNALS_RELAY_SLOT=self.name, ANNALS_LIMITS_LATENCY="60s")
        self.database = ScratchDatabase(self.name, options.binary, self.environment)
        self.token = tokens.token(SECRET, "bench", "admin")
        self.write("append.sql", APPEND)
        self.write("nginx.conf", NGINX.format(folder=self.folder, port=EMPTY))
        self.write("post.lua", f"""wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer {self.token}"
wrk.body = '{{"title":"A document of the benchmark"}}'
""")

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def wrk(self, url, *words):
        result = subprocess.run(["wrk", "-t1", "-c64", f"-d{self.options.seconds}s", *words, url], capture_output=True, text=True)
        if result.returncode or "Non-2xx" in result.stdout:
            sys.exit(f"{url}: {result.stdout}{result.stderr}")
        return float(re.search(r"Requests/sec:\s+([\d.]+)", result.stdout).group(1))

    def read(self, url):
        return self.wrk(url, "-H", f"Authorization: Bearer {self.token}")

    def pgbench(self, url, mode):
        result = subprocess.run(
            ["pgbench", "-n", "-M", mode, "-c", "16", "-j", "2", "-T", str(self.options.seconds), "-f", self.path("append.sql"), url],
            capture_output=True, text=True)
        found = re.search(r"^tps = ([\d.]+)", result.stdout, re.M)
        if not found:
            sys.exit(f"pgbench: {result.stdout}{result.stderr}")
        return float(found.group(1))

    def serving(self, more, body):
        program = Program(
            [self.options.binary, "serve", "documents,types,audit", "--port", str(PORT), "--operations.port", str(PORT + 1)],
            dict(self.environment, **more), self.path("serve.log"), PORT)
        try:
            stack.Deadline(30, self.path("serve.log")).wait("the API", program.is_ready)
            body()
        finally:
            program.stop()

    def gateway(self, port, documents):
        folder = self.path(f"gateway-{port}")
        result = subprocess.run(
            [os.path.join(stack.ROOT, "scripts", "gateway"), "start", folder, f"LISTEN={port}", f"TLS={port + 1}", f"DOCUMENTS={documents}",
             f"SIGNATURES={documents}", f"SEARCH={documents}", f"STREAMS={documents}", "GRPC=1", "RATE=1000000", "BURST=100000"],
            capture_output=True, text=True)
        if result.returncode:
            sys.exit(f"the gateway did not start: {result.stderr}")
        return folder

    def document(self):
        """One that Redis has, as the projections write it."""
        result = subprocess.run(
            ["curl", "-sf", f"http://127.0.0.1:{PORT}/documents", "-H", f"Authorization: Bearer {self.token}", "-H",
             "Content-Type: application/json", "-d", '{"title":"Read"}'], capture_output=True, text=True, check=True)
        id = re.search(r'"id":"([^"]+)"', result.stdout).group(1)
        host, port = stack.address("ANNALS_REDIS_URL").removeprefix("redis://").split(":")
        subprocess.run(["redis-cli", "-h", host, "-p", port, "SET", f"document:{id}", result.stdout, "EX", "3600"], check=True,
                       stdout=subprocess.DEVNULL)
        return id

    def once(self, figures):
        def note(name, value):
            figures.setdefault(name, []).append(value)
        note("limit.post", self.pgbench(self.direct, "prepared"))
        self.serving({}, lambda: note("post", self.wrk(f"http://127.0.0.1:{PORT}/documents", "-s", self.path("post.lua"))))
        note("limit.pooled", self.pgbench(self.pooler, "extended"))
        pooled = {"ANNALS_POSTGRES_POOLER_URL": self.pooler, "ANNALS_POSTGRES_PREPARED_STATEMENTS": "false"}
        self.serving(pooled, lambda: note("pooled", self.wrk(f"http://127.0.0.1:{PORT}/documents", "-s", self.path("post.lua"))))
        note("limit.read", self.read(f"http://127.0.0.1:{BARE}/documents/x"))

        def reads():
            id = self.document()
            for name, path in READS.items():
                note(name, self.read(f"http://127.0.0.1:{GATEWAY}" + path.format(id=id)))
        self.serving(pooled, reads)

    def run(self):
        figures, folders = {}, []
        empty = Program(["nginx", "-c", self.path("nginx.conf")], self.environment, self.path("nginx.out"), EMPTY)
        try:
            stack.Deadline(10, self.path("empty.log")).wait("nginx", lambda: empty.answer("/")[0] == 200)
            folders = [self.gateway(BARE, EMPTY), self.gateway(GATEWAY, PORT)]
            for _ in range(self.options.runs):
                self.once(figures)
        finally:
            for folder in folders:
                subprocess.run([os.path.join(stack.ROOT, "scripts", "gateway"), "stop", folder], check=False)
            empty.stop()
            self.database.drop()
        return figures


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--binary")
    options = parser.parse_args()
    options.binary = options.binary or stack.binary()
    figures = Bench(options).run()
    rows = [("post", "POST /documents with a token", "limit.post", "pgbench", 0.75),
            ("pooled", "the same over PgBouncer", "limit.pooled", "pgbench over it", 0.8)]
    rows += [(name, f"{TITLES[name]} through the gateway", "limit.read", "nginx behind it", 0.8) for name in READS]
    print(f"{'':52} per second     limit  ratio (least to most of {options.runs} runs)")
    for name, title, limit, what, goal in rows:
        ratios = sorted(left / right for left, right in zip(figures[name], figures[limit]))
        print(f"{title:52} {statistics.median(figures[name]):10,.0f}{statistics.median(figures[limit]):10,.0f}  "
              f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) of {what} (goal {goal})")


main()
