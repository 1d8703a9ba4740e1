#!/usr/bin/env python3
"""Mangles input, under libFuzzer and AddressSanitizer, and looks for traps: pgoutput messages in the relay's decoder and
encoders, and request heads, forms and JSON texts in their readers.

  fuzz.py [SECONDS] [CASES]

SECONDS: how long, for each of the two (60). CASES: a folder of recorded cases whose pgoutput.txt files are the seeds; without it, a few messages
of this program. An input that breaks something is kept in .build/fuzz/crash-…, and the program ends with 1.
"""
import os
import struct
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from Rig.stack import ROOT  # noqa: E402

SEEDS = ["4200000000032d09e8000303be823acd2500000309",
         "520000403074657374007400640002016e0000000017ffffffff00730000000019ffffffff",
         "4900004030" + "4e0002" + "740000000137" + "6e", "430000000000032d09e800000000032d0a18000303be823acd25"]


def inputs(folder):
    yield [bytes.fromhex(seed) for seed in SEEDS]
    for name in sorted(os.listdir(folder)) if folder and os.path.isdir(folder) else []:
        path = os.path.join(folder, name, "pgoutput.txt")
        if os.path.exists(path):
            messages = [bytes.fromhex(line.split()[2]) for line in open(path) if line.strip()]
            yield [message for message in messages if len(message) < 4_000]


def streamed(messages):
    """The same, as the server sends them while their transaction runs, with one part of it rolled back."""
    yield b"S" + struct.pack(">IB", 700, 1)
    for number, message in enumerate(messages):
        if message[:1] in b"RYIUDTM":
            yield message[:1] + struct.pack(">I", 701 if number % 5 == 4 else 700) + message[1:]
    yield b"E"
    yield b"A" + struct.pack(">II", 700, 701)
    yield b"c" + struct.pack(">IBQQq", 700, 0, 1_000, 1_008, 0)


HTTP_SEEDS = [
    (0, "GET /a/b/c?x=1&y=%41+z HTTP/1.1\nHost: x\nContent-Length: 3"),
    (0, "POST http://h:1/a//%C3%A9?&= HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\nExpect: 100-continue"),
    (0, "OPTIONS * HTTP/1.0\nX: y"),
    (1, "--b\r\nContent-Disposition: form-data; name=\"a\\\"\"; filename*=UTF-8''%41\r\nContent-Type: text/plain\r\n\r\n"
        "x\r\n--\r\n--b \r\ncontent-disposition: form-data;name=c\r\n\r\n\r\n--b--\r\n"),
    (2, '{"a":[1,-0,1e400,0.10,12345678901234567890,true,null],"\\u00e9\\ud83d\\ude00":{"b":"c\\n"}}'),
]


def fuzz(product, corpus, seconds, build):
    """Runs one fuzzer; returns whether nothing broke."""
    command = ["swift", "build", "--scratch-path", build, "--product", product, "-Xswiftc", "-sanitize=fuzzer,address"]
    subprocess.run(command, cwd=ROOT, check=True, env=dict(os.environ, ANNALS_FUZZ="1"), stdout=subprocess.DEVNULL)
    environment = dict(os.environ, SWIFT_BACKTRACE="enable=no", ASAN_OPTIONS="detect_leaks=0")
    result = subprocess.run([os.path.join(build, "debug", product), corpus, f"-max_total_time={seconds}",
                             f"-artifact_prefix={build}/", "-print_final_stats=1", "-timeout=10", "-rss_limit_mb=2048"],
                            env=environment, capture_output=True, text=True)
    for line in result.stderr.splitlines():
        if "stat::" in line or "ERROR" in line or "atal error" in line or "artifact" in line.lower():
            print(line)
    print(f"{product}: " + ("nothing broke" if result.returncode == 0 else "SOMETHING BROKE"))
    return result.returncode == 0


def main():
    seconds = sys.argv[1] if len(sys.argv) > 1 else "60"
    build = os.path.join(ROOT, ".build", "fuzz")
    corpus, http = os.path.join(build, "corpus"), os.path.join(build, "corpus-http")
    for folder in (corpus, http):
        os.makedirs(folder, exist_ok=True)
    for number, messages in enumerate(inputs(sys.argv[2] if len(sys.argv) > 2 else None)):
        for form, sent in (("whole", messages), ("streamed", list(streamed(messages)))):
            body = b"".join(struct.pack(">H", len(message)) + message for message in sent)
            for choice in (0, 2, 1 | 4, 64 | 128 | 8 | 16):
                with open(os.path.join(corpus, f"seed-{number}-{choice}-{form}"), "wb") as file:
                    file.write(bytes([choice]) + body)
    for number, (choice, text) in enumerate(HTTP_SEEDS):
        with open(os.path.join(http, f"seed-{number}"), "wb") as file:
            file.write(bytes([choice]) + text.encode())
    results = [fuzz("relay-fuzz", corpus, seconds, build), fuzz("http-fuzz", http, seconds, build)]
    sys.exit(0 if all(results) else 1)


main()
