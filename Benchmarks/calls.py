#!/usr/bin/env python3
"""Unary calls a second: Annals beside Python's grpc.aio, both asked by the same client (C++, callbacks) in the same run.

Two calls: health's Check, which needs nothing but the server, and GetDocument, for which Annals reads the document's events in Postgres and
the peer answers a constant. Client and server share the cores.

  calls.py [--seconds 5] [--runs 3] [--flight 64]
"""
import argparse
import http.client
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

HERE = os.path.dirname(os.path.abspath(__file__))
PORT, OPERATIONS, GRPC, PEER = 17_290, 17_291, 17_292, 17_293


def built(folder):
    """The client."""
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "grpc++"], capture_output=True, text=True, check=True).stdout.split()
    path = os.path.join(folder, "calls_load")
    subprocess.run(["g++", "-O2", "-std=c++17", os.path.join(HERE, "calls_load.cc"), "-o", path, *flags], check=True)
    return path


def calls(client, port, method, request, seconds, flight):
    """Calls a second, and the 99th percentile in ms."""
    printed = subprocess.run([client, f"127.0.0.1:{port}", method, request, str(seconds), str(flight)],
                             capture_output=True, text=True, timeout=seconds + 60)
    match = re.fullmatch(r"(\d+) calls/s, p99 ([\d.]+) ms, (\d+) failed\n", printed.stdout)
    if not match or match[3] != "0":
        sys.exit(f"{method} on {port}: {printed.stdout}{printed.stderr}")
    return int(match[1]), float(match[2])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--flight", type=int, default=64)
    options = parser.parse_args()
    folder = stack.folder("bench")
    client, binary = built(folder), stack.binary()
    name = stack.unique("grpc")
    environment = dict(
        os.environ, ANNALS_POSTGRES_URL=f"{stack.postgres_server()}/{name}", ANNALS_HTTP_PORT=str(PORT),
        ANNALS_OPERATIONS_PORT=str(OPERATIONS), ANNALS_GRPC_PORT=str(GRPC), ANNALS_LOG_LEVEL="warning")
    database = ScratchDatabase(name, binary, environment)
    server = Program([binary, "serve", "documents,grpc"], environment, os.path.join(folder, "grpc.log"), PORT)
    peer = subprocess.Popen(["/usr/bin/python3", os.path.join(HERE, "calls_peer.py"), str(PEER)])
    try:
        stack.Deadline(30, folder).wait("the API", server.is_ready, 0.1)
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
        connection.request("POST", "/documents", json.dumps({"title": "Lease"}), {"Content-Type": "application/json"})
        id = json.loads(connection.getresponse().read())["id"]
        document = (b"\x0a" + bytes([len(id)]) + id.encode()).hex()
        for method, request in (("/grpc.health.v1.Health/Check", ""), ("/document.DocumentService/GetDocument", document)):
            results = {GRPC: [], PEER: []}
            for _ in range(options.runs):
                for port in results:
                    results[port].append(calls(client, port, method, request, options.seconds, options.flight))
            rate = {port: statistics.median(rate for rate, _ in found) for port, found in results.items()}
            time = {port: statistics.median(time for _, time in found) for port, found in results.items()}
            print(f"{method}: annals {rate[GRPC]:,.0f}/s (p99 {time[GRPC]:.1f} ms), grpc.aio {rate[PEER]:,.0f}/s (p99 {time[PEER]:.1f} ms), "
                  f"ratio {rate[GRPC] / rate[PEER]:.2f}", flush=True)
    finally:
        peer.kill()
        server.stop()
        database.drop()


if __name__ == "__main__":
    main()
