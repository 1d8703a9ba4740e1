#!/usr/bin/env python3
"""What is left of a server's work when five times as much is asked for as it can do.

`annals serve` on a Postgres behind a proxy that lets only so many bytes a second through: that is the capacity. Requests come at a fixed rate,
whatever becomes of those before (an open loop); good are those that are answered with 200 within a second of when they were meant to begin.
The peak is the best of several rates; then five times that rate, with limits.concurrency as it is by default, and without.

  overload.py [--seconds 8] [--bytes 60000]
"""
import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.request
from urllib.parse import urlsplit

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "Tests"))
from Rig import stack  # noqa: E402
from Rig.database import ScratchDatabase  # noqa: E402
from Rig.program import Program  # noqa: E402

PORT, OPERATIONS, PROXY = 17_290, 17_291, 17_292
GOAL, PATIENCE = 0.9, 1.0


async def proxy(host, port, rate):
    """Passes connections on, all requests together at so many bytes a second."""
    free = time.monotonic()

    async def pass_on(reader, writer, slow):
        nonlocal free
        try:
            while data := await reader.read(4096):
                if slow:
                    free = max(free, time.monotonic()) + len(data) / rate
                    await asyncio.sleep(max(0, free - time.monotonic()))
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.close()

    async def accept(reader, writer):
        below, above = await asyncio.open_connection(host, port)
        await asyncio.gather(pass_on(reader, above, True), pass_on(below, writer, False))
    server = await asyncio.start_server(accept, "127.0.0.1", PROXY)
    await server.serve_forever()


async def load(path, rate, seconds):
    """Requests at a rate: how many were good, refused with 503, late or lost; and the latencies of the good ones."""
    idle, counts, times, tasks = [], {"good": 0, "shed": 0, "late": 0, "other": 0}, [], []
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()

    async def ask(meant):
        try:
            reader, writer = idle.pop() if idle else await asyncio.open_connection("127.0.0.1", PORT)
            writer.write(request)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            idle.append((reader, writer))
            took = time.monotonic() - meant
            status = int(head[9:12])
            counts["shed" if status == 503 else "other" if status != 200 else "good" if took <= PATIENCE else "late"] += 1
            if status == 200:
                times.append(took)
        except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError, IndexError):
            counts["other"] += 1
    start = time.monotonic()
    for number in range(int(rate * seconds)):
        meant = start + number / rate
        if (wait := meant - time.monotonic()) > 0.001:
            await asyncio.sleep(wait)
        tasks.append(asyncio.create_task(ask(meant)))
    sent = time.monotonic() - start
    await asyncio.gather(*tasks)
    for _, writer in idle:
        writer.close()
    times.sort()
    return counts["good"] / max(sent, seconds), counts, times[int(len(times) * .99)] * 1000 if times else 0, number / sent


def run(binary, environment, limit, rates, seconds):
    folder = stack.folder("bench")
    server = Program([binary, "serve"], dict(environment, **limit), os.path.join(folder, "overload.log"), PORT)
    try:
        stack.Deadline(60, folder).wait("the API", server.is_ready, 0.1)
        body = urllib.request.Request(f"http://127.0.0.1:{PORT}/documents", json.dumps({"title": "Asked for"}).encode(),
                                      {"Content-Type": "application/json"})
        id = json.load(urllib.request.urlopen(body, timeout=30))["id"]
        asyncio.run(load(f"/documents/{id}", 50, 2))
        best = 0
        for rate in rates:
            good, counts, p99, sent = asyncio.run(load(f"/documents/{id}", rate, seconds))
            best = max(best, good)
            print(f"  {rate:7,.0f}/s wanted, {sent:7,.0f}/s sent: {good:7,.0f}/s good, p99 {p99:6.0f} ms   {counts}", flush=True)
        return best, good
    finally:
        server.stop()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--bytes", type=int, default=60_000)
    options = parser.parse_args()
    binary, name = stack.binary(), stack.unique("overload")
    server = urlsplit(stack.postgres_server())
    environment = dict(os.environ, ANNALS_HTTP_PORT=str(PORT), ANNALS_OPERATIONS_PORT=str(OPERATIONS), ANNALS_GRPC_PORT="0",
                       ANNALS_POSTGRES_URL=f"{stack.postgres_server()}/{name}", ANNALS_REDIS_URL="redis://127.0.0.1:1",
                       ANNALS_AUTH_MODE="development")
    database = ScratchDatabase(name, binary, environment)
    code = f"import sys, asyncio; sys.path.insert(0, {os.path.dirname(os.path.abspath(__file__))!r}); import overload; " \
           f"asyncio.run(overload.proxy({server.hostname!r}, {server.port}, {options.bytes}))"
    child = subprocess.Popen([sys.executable, "-c", code])
    try:
        user = f"{server.username}@" if server.username else ""
        environment["ANNALS_POSTGRES_URL"] = f"postgresql://{user}127.0.0.1:{PROXY}/{name}"
        time.sleep(1)
        print("as it is by default")
        peak, _ = run(binary, environment, {}, (200, 300, 400, 500, 600), options.seconds)
        _, five = run(binary, environment, {}, (5 * peak,), options.seconds)
        print("without a limit (limits.concurrency=0)")
        _, unlimited = run(binary, environment, {"ANNALS_LIMITS_CONCURRENCY": "0"}, (5 * peak,), options.seconds)
        print(f"goodput at five times the peak of {peak:,.0f}/s: {five / peak:.2f} of it (goal {GOAL}); without a limit {unlimited / peak:.2f}")
    finally:
        child.terminate()
        child.wait()
        database.drop()


if __name__ == "__main__":
    main()
