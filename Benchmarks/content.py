#!/usr/bin/env python3
"""Contents and slow clients: what they cost.

  content.py [--runs N] [--size MEBIBYTES]

PUT and GET of one large content through Annals, beside the same bytes between curl and the object store directly, in turns;
64 uploads of 64 MiB at once; and 1,000 idle and 1,000 trickling connections: the memory of each, and the p99 of everybody
else's requests without and with them, in pairs. Memory is the resident memory of the process above what it had when idle.
"""
import argparse
import json
import os
import re
import resource
import socket
import statistics
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "Tests"))
from Rig import stack  # noqa: E402
from Rig.database import ScratchDatabase  # noqa: E402
from Rig.program import Program  # noqa: E402

PORT = 17190
BASE = f"http://127.0.0.1:{PORT}"


def curl(*words):
    """The seconds of one request; ends the run if it fails."""
    result = subprocess.run(["curl", "-sf", "-m", "300", "-o", os.devnull, "-w", "%{time_total}", *words],
                            capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"curl {words[-1]} ends with {result.returncode}")
    return float(result.stdout)


class Memory:
    """The highest resident memory of a process while the block runs, in MiB."""

    def __init__(self, process):
        self.file, self.highest = f"/proc/{process}/status", 0

    def now(self):
        with open(self.file) as file:
            return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1)) / 1024

    def __enter__(self):
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self):
        while not self.ended.wait(0.05):
            self.highest = max(self.highest, self.now())

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


def document():
    result = subprocess.run(["curl", "-sf", f"{BASE}/documents", "-d", '{"title":"Benchmark"}'],
                            capture_output=True, text=True, check=True)
    return f"{BASE}/documents/{json.loads(result.stdout)['id']}"


class Crowd:
    """Clients that are connected and idle, or send the head of a request byte by byte."""

    def __init__(self, count, trickles):
        self.sockets = [socket.create_connection(("127.0.0.1", PORT)) for _ in range(count)]
        self.ended, self.cut = threading.Event(), 0
        self.thread = threading.Thread(target=self.trickle if trickles else self.ended.wait)
        self.thread.start()

    def trickle(self):
        for connection in self.sockets:
            connection.sendall(b"POST /documents HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n")
        while not self.ended.wait(1):
            for connection in self.sockets:
                try:
                    connection.sendall(b"x" * 1100)
                except OSError:
                    self.cut += 1

    def end(self):
        self.ended.set()
        self.thread.join()
        for connection in self.sockets:
            connection.close()


def p99(url):
    result = subprocess.run(["wrk", "-t1", "-c8", "-d3s", "--latency", url], capture_output=True, text=True)
    number, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", result.stdout).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1_000}[unit]


def large(options, memory, folder):
    path = os.path.join(folder, "content")
    subprocess.run(f"openssl rand {options.size << 20} > {path}", shell=True, check=True)
    endpoint, bucket = stack.address("ANNALS_S3_ENDPOINT"), "annals"
    direct = ["--aws-sigv4", "aws:amz:us-east-1:s3", "--user", "annals:annals-secret",
              "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD"]
    url = document()
    curl("-T", path, f"{url}/content")  # the bucket is there after it
    idle, times = memory.now(), {}
    with memory:
        for _ in range(options.runs):
            key = f"{endpoint}/{bucket}/benchmark"
            times.setdefault("direct PUT", []).append(curl(*direct, "-T", path, key))
            times.setdefault("PUT", []).append(curl("-T", path, f"{url}/content", "-H", "Content-Type: a/b"))
            times.setdefault("direct GET", []).append(curl(*direct, key))
            times.setdefault("GET", []).append(curl(f"{url}/content"))
    for name in ("PUT", "GET"):
        ratios = [there / here for there, here in zip(times["direct " + name], times[name])]
        print(f"{name} of {options.size} MiB: {options.size / statistics.median(times[name]):.0f} MiB/s, directly "
              f"{options.size / statistics.median(times['direct ' + name]):.0f} MiB/s: {statistics.median(ratios):.2f} "
              f"({min(ratios):.2f} to {max(ratios):.2f}) of it (goal 0.7)")
    print(f"memory above idle: {memory.highest - idle:.0f} MiB at most (goal: below 64)")
    os.truncate(path, 64 << 20)
    urls = [document() for _ in range(64)]
    idle, start = memory.now(), time.time()
    memory.highest = 0
    with memory:
        threads = [threading.Thread(target=curl, args=("-T", path, f"{url}/content")) for url in urls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    print(f"64 uploads of 64 MiB at once: {4096 / (time.time() - start):.0f} MiB/s, memory above idle: "
          f"{memory.highest - idle:.0f} MiB")
    os.unlink(path)


def crowds(options, memory):
    url = document()
    for name, trickles in (("idle", False), ("trickling", True)):
        pairs, sizes, cut = [], [], 0
        for _ in range(options.runs):
            before, idle = p99(url), memory.now()
            crowd = Crowd(1_000, trickles)
            pairs.append((before, p99(url)))
            sizes.append((memory.now() - idle) * 1024 / 1_000)
            crowd.end()
            cut += crowd.cut
        ratio = statistics.median(after / before for before, after in pairs)
        more = statistics.median(after - before for before, after in pairs)
        print(f"1,000 {name} connections: {statistics.median(sizes):.0f} KiB each; p99 of others "
              f"{statistics.median(before for before, _ in pairs):.1f} ms without, {statistics.median(after for _, after in pairs):.1f} ms "
              f"with them: {ratio:.2f} times, {more:+.1f} ms (goal: 1.2 times, or 2 ms more); {cut} writes were refused")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--size", type=int, default=1_024)
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    folder, binary, name = stack.folder("bench-content"), stack.binary(), stack.unique("bench_")
    environment = dict(
        os.environ, ANNALS_POSTGRES_URL=f"{stack.postgres_server()}/{name}", ANNALS_HTTP_PORT=str(PORT),
        ANNALS_OPERATIONS_PORT=str(PORT + 3), ANNALS_LOG_LEVEL="warning", ANNALS_DOCUMENTS_MAX_CONTENT="8GiB")
    database = ScratchDatabase(name, binary, environment)
    serve = Program([binary, "serve"], environment, os.path.join(folder, "serve.log"), PORT)
    try:
        stack.Deadline(20, os.path.join(folder, "serve.log")).wait("the API", serve.is_ready)
        memory = Memory(serve.process.pid)
        # First: memory that large contents have left behind would hide that of connections.
        crowds(options, memory)
        large(options, memory, folder)
    finally:
        serve.stop()
        database.drop()


main()
