#!/usr/bin/env python3
"""What users feel: Locust's users on services apart, through the gateway and PgBouncer, with tokens; beside the figures of the systems
that Annals replaces (measured on other machines). Then the same mix from wrk in a closed loop.

  load.py [--seconds 180] [--warm 60] [--users 200,300] [--wrk 20]
"""
import argparse
import csv
import json
import os
import re
import subprocess
import sys
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "Tests"))
from Rig import stack  # noqa: E402
from Rig.apart import Apart  # noqa: E402

FIRST_PORT = 17_400
# By users: requests a second, share of failures, average, median, p95, p99 in milliseconds; by route average and p95.
THEIRS = {
    200: {"Aggregated": (128.5, 0, 10, 5, 22, 100), "POST /documents": (None, None, 32, None, 170, None),
          "GET /search": (None, None, 4, None, 7, None), "POST /signatures": (None, None, 21, None, 36, None),
          "GET /documents": (None, None, 9, None, 20, None)},
    300: {"Aggregated": (191.6, 0.0001, 26, 6, 52, 420)},
}
GOAL = 10
WORDS = ["agreement", "invoice", "lease", "offer", "order", "receipt", "report", "statement", "summary", "warranty"]
MIX = """
local owners = {%s}
local documents = {%s}
local words = {%s}
math.randomseed(7)
local function headers() return {["Authorization"] = "Bearer " .. owners[math.random(#owners)], ["Content-Type"] = "application/json"} end
function request()
  local roll, word = math.random(12), words[math.random(#words)]
  if roll <= 3 then
    return wrk.format("POST", "/documents", headers(), '{"title":"' .. word .. '","content":"' .. word .. ' of the load","content_type":"text/plain"}')
  elseif roll <= 7 then return wrk.format("GET", "/documents?limit=20", headers())
  elseif roll <= 11 then return wrk.format("GET", "/search?q=" .. word, headers())
  end
  local document = documents[math.random(#documents)]
  return wrk.format("POST", "/signatures", {["Authorization"] = "Bearer " .. document[2], ["Content-Type"] = "application/json"},
    '{"document_id":"' .. document[1] .. '","signer_email":"' .. document[3] .. '","signer_name":"Jane","signature_data":"c2lnbmVk"}')
end
"""


def locust(annals, users, seconds, tokens):
    """Locust's table, by route."""
    out = os.path.join(annals.folder, f"locust-{users}")
    result = subprocess.run(
        [os.path.join(stack.ROOT, ".stack", "load", "bin", "locust"), "-f", os.path.join(stack.ROOT, "Benchmarks", "load_users.py"),
         "--headless", "-H", annals.url, "-u", str(users), "-r", str(users // 10), "-t", f"{seconds}s", "--csv", out,
         "--only-summary", "--stop-timeout", "10"],
        env=dict(os.environ, LOAD_TOKENS=tokens), capture_output=True, text=True)
    if not os.path.exists(f"{out}_stats.csv"):
        sys.exit(result.stderr[-3000:])
    if os.path.getsize(f"{out}_failures.csv") > 100:
        with open(f"{out}_failures.csv") as file:
            print(file.read())
    with open(f"{out}_stats.csv") as file:
        return {row["Name"]: row for row in csv.DictReader(file)}


def show(users, table):
    print(f"\n{users} users           requests/s   failures   average    median       p95       p99    (ms)")
    theirs = THEIRS.get(users, {})
    for name, row in table.items():
        count, failed = int(row["Request Count"]), int(row["Failure Count"])
        print(f"{name:20} {float(row['Requests/s']):10.1f} {failed / max(count, 1):9.2%} {float(row['Average Response Time']):9.0f} "
              f"{float(row['50%']):9.0f} {float(row['95%']):9.0f} {float(row['99%']):9.0f}")
        if name in theirs:
            cells = [f"{theirs[name][0]:10.1f}" if theirs[name][0] else " " * 10,
                     f"{theirs[name][1]:9.2%}" if theirs[name][1] is not None else " " * 9,
                     *(f"{cell:9.0f}" if cell is not None else " " * 9 for cell in theirs[name][2:])]
            print(f"  of theirs          {' '.join(cells)}")
    whole, other = table["Aggregated"], theirs.get("Aggregated")
    if other:
        print(f"p95 {float(whole['95%']) / other[4]:.2f} of theirs (goal 0.5), p99 {float(whole['99%']) / other[5]:.2f} of theirs (goal 0.25)")


def ask(annals, token, path, body):
    request = urllib.request.Request(annals.url + path, json.dumps(body).encode(), {
        "Authorization": f"Bearer {token}", "Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def closed_loop(annals, owners, seconds):
    """Requests a second of the same mix from 64 connections."""
    documents = []
    for number in range(200):
        owner = number % len(owners)
        id = ask(annals, owners[owner], "/documents", {"title": f"lease {number}"})["id"]
        documents.append((id, owners[owner], f"user-{owner}@example.com"))
    script = os.path.join(annals.folder, "mix.lua")
    with open(script, "w") as file:
        file.write(MIX % (",".join(f'"{owner}"' for owner in owners), ",".join(f'{{"{id}","{owner}","{email}"}}' for id, owner, email in documents),
                          ",".join(f'"{word}"' for word in WORDS)))
    result = subprocess.run(["wrk", "-t1", "-c64", f"-d{seconds}s", "--latency", "-s", script, annals.url], capture_output=True, text=True)
    found = re.search(r"Requests/sec:\s+([\d.]+)", result.stdout)
    if result.returncode or not found:
        sys.exit(result.stdout + result.stderr)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", result.stdout)
    timed_out = re.search(r"Socket errors: (.*)", result.stdout)
    return float(found.group(1)), int(refused.group(1)) if refused else 0, timed_out.group(1) if timed_out else ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=180)
    parser.add_argument("--warm", type=int, default=60, help="seconds of the first load that are not counted: virtual machines compile then")
    parser.add_argument("--users", default="200,300")
    parser.add_argument("--wrk", type=int, default=20, help="seconds of the closed loop")
    options = parser.parse_args()
    stack.need_engines("the load")
    binary = stack.binary()
    annals = Apart(FIRST_PORT, binary, os.path.join(stack.ROOT, ".stack", "test", "load.log"))
    try:
        owners = [annals.token(f"user-{number}", "user") for number in range(300)]
        tokens = os.path.join(annals.folder, "tokens.json")
        with open(tokens, "w") as file:
            json.dump({"owners": [(owner, f"user-{number}@example.com") for number, owner in enumerate(owners)], "reader": annals.token("reader", "auditor")}, file)
        failed = 0
        loads = list(map(int, options.users.split(",")))
        if options.warm:
            locust(annals, loads[0], options.warm, tokens)
        for users in loads:
            table = locust(annals, users, options.seconds, tokens)
            show(users, table)
            failed += int(table["Aggregated"]["Failure Count"])
        print(f"\nfailures: {failed} (goal 0)")
        rate, refused, errors = closed_loop(annals, owners[:50], options.wrk)
        print(f"closed loop, 64 connections: {rate:.0f}/s, {rate / THEIRS[200]['Aggregated'][0]:.1f} times theirs (goal {GOAL}); "
              f"refused {refused}{', ' + errors if errors else ''}")
    finally:
        annals.stop()


if __name__ == "__main__":
    main()
