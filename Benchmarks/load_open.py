#!/usr/bin/env python3
"""The mix of `make load` in an open loop: requests begin when they are meant to, whatever becomes of those before, and their latency counts
from that moment. First the capacity (wrk's closed loop), then shares of it.

  load_open.py [--seconds 30] [--shares 25,50,75,90] [--capacity N]
  load_open.py --soak MINUTES     at half of the capacity: memory, descriptors and latency of each minute
"""
import argparse
import asyncio
import json
import os
import random
import sys
import time
from collections import Counter

from hdrh.histogram import HdrHistogram

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "Tests"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from Rig import stack  # noqa: E402
from Rig.apart import Apart  # noqa: E402
from load import WORDS, closed_loop  # noqa: E402

FIRST_PORT = 17_440
# A request whose answer has not come by then is an error.
PATIENCE = 30
# By how much memory, descriptors and p99 may be larger in the last quarter of a soak than in the second.
GROWTH = 1.15


class Load:
    def __init__(self, annals, owners):
        self.port, self.owners, self.idle = annals.port, owners, []
        self.histogram, self.errors, self.unsigned = HdrHistogram(1, 60_000_000, 3), Counter(), []

    def next(self):
        """Method, path, token and body of a request, in the proportions of `make load`."""
        roll, owner, word = random.randrange(12), random.randrange(len(self.owners)), random.choice(WORDS)
        if roll == 0 and self.unsigned:
            owner, id = self.unsigned.pop()
            return "POST", "/signatures", owner, {"document_id": id, "signer_email": f"user-{owner}@example.com",
                                                  "signer_name": "Jane", "signature_data": "c2lnbmVk"}
        if roll < 4:
            return "POST", "/documents", owner, {"title": f"{word} {roll}", "content": f"{word} of the load", "content_type": "text/plain"}
        return ("GET", "/documents?limit=20", owner, None) if roll < 8 else ("GET", f"/search?q={word}", owner, None)

    async def ask(self, meant):
        method, path, owner, body = self.next()
        content = json.dumps(body).encode() if body else b""
        request = (f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self.owners[owner]}\r\n"
                   + (f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n" if body else "") + "\r\n").encode() + content
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = self.idle.pop() if self.idle else await asyncio.open_connection("127.0.0.1", self.port)
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                answer = await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
            # The gateway ends a connection after a thousand requests.
            if b"connection: close" in head.lower():
                writer.close()
            else:
                self.idle.append((reader, writer))
            self.histogram.record_value(int((time.monotonic() - meant) * 1_000_000))
            if int(head[9:12]) >= 300:
                self.errors[f"{method} {path.split('?')[0]}: {int(head[9:12])}"] += 1
            elif path == "/documents":
                self.unsigned = [*self.unsigned[-500:], (owner, json.loads(answer)["id"])]
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError, IndexError) as error:
            self.errors[f"{method} {path.split('?')[0]}: {type(error).__name__}"] += 1

    async def run(self, rate, seconds):
        start, tasks = time.monotonic(), set()
        for number in range(int(rate * seconds)):
            meant = start + number / rate
            if (wait := meant - time.monotonic()) > 0.001:
                await asyncio.sleep(wait)
            task = asyncio.create_task(self.ask(meant))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        if tasks:
            await asyncio.wait(tasks)


def milliseconds(histogram, *percentiles):
    return [histogram.get_value_at_percentile(percentile) / 1_000 for percentile in percentiles]


def held(annals):
    """Megabytes and descriptors of each process."""
    found = {}
    for name, program in annals.programs.items():
        with open(f"/proc/{program.process.pid}/smaps_rollup") as file:
            size = next(int(line.split()[1]) for line in file if line.startswith("Rss:")) / 1024
        found[name] = (size, len(os.listdir(f"/proc/{program.process.pid}/fd")))
    return found


def soak(annals, owners, rate, minutes):
    rows = []
    load = Load(annals, owners)
    for minute in range(minutes):
        load.histogram, load.errors = HdrHistogram(1, 60_000_000, 3), Counter()
        asyncio.run(load.run(rate, 60))
        # Connections belong to the loop that has ended.
        load.idle = []
        p50, p99 = milliseconds(load.histogram, 50, 99)
        rows.append((held(annals), p99))
        print(f"minute {minute + 1:3}: p50 {p50:6.1f} p99 {p99:7.1f} ms, errors {load.errors.total()} {dict(load.errors) or ''}; "
              + ", ".join(f"{name} {size:.0f} MB {count} fd" for name, (size, count) in rows[-1][0].items()), flush=True)
    quarter = max(1, minutes // 4)

    def middle(values):
        return sorted(values)[len(values) // 2]

    print("\nfrom the second quarter to the last one (goal: no growth)")
    early, late = rows[quarter:2 * quarter] or rows[:1], rows[-quarter:]
    for name in annals.programs:
        for what, part in (("MB", 0), ("descriptors", 1)):
            before, after = (middle([row[0][name][part] for row in rows]) for rows in (early, late))
            print(f"{name:12} {before:7.0f} → {after:7.0f} {what}{'   GROWS' if after > before * GROWTH else ''}")
    before, after = (middle([row[1] for row in rows]) for rows in (early, late))
    print(f"p99          {before:7.1f} → {after:7.1f} ms{'   GROWS' if after > before * GROWTH else ''}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--shares", default="25,50,75,90")
    parser.add_argument("--capacity", type=float, help="requests a second; without it wrk finds it out")
    parser.add_argument("--soak", type=int, metavar="MINUTES")
    options = parser.parse_args()
    stack.need_engines("the load")
    annals = Apart(FIRST_PORT, stack.binary(), os.path.join(stack.ROOT, ".stack", "test", "load.log"))
    try:
        owners = [annals.token(f"user-{number}", "user") for number in range(50)]
        # Views are made at first, and servers are slow after their start.
        warm = Load(annals, owners)
        asyncio.run(warm.run(100, 15))
        capacity = options.capacity or closed_loop(annals, owners, 20)[0]
        print(f"capacity (64 connections): {capacity:.0f}/s", flush=True)
        if options.soak:
            return soak(annals, owners, capacity / 2, options.soak)
        print("share    rate      p50      p90      p99    p99.9      max (ms)   errors")
        for share in map(int, options.shares.split(",")):
            load, rate = Load(annals, owners), capacity * share / 100
            asyncio.run(load.run(rate, options.seconds))
            cells = " ".join(f"{value:8.1f}" for value in milliseconds(load.histogram, 50, 90, 99, 99.9, 100))
            print(f"{share:3} % {rate:8.0f} {cells} {load.errors.total():8} {dict(load.errors) or ''}", flush=True)
    finally:
        annals.stop()


if __name__ == "__main__":
    main()
