#!/usr/bin/env python3
"""Many sockets on one process: memory of each, how long one event takes to all, deliveries a second, and a long way back.

`annals serve` alone on Postgres. The reader is one process that only looks for the ends of frames; it shares the cores with the server,
so the times are those of both. Limit in the same run: the same bytes, sent to as many plain connections by a loop in this program.

  sockets.py [--sockets 10000] [--events 1000000]
"""
import argparse
import http.client
import json
import os
import select
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "Tests"))
from Rig import stack  # noqa: E402
from Rig.database import ScratchDatabase  # noqa: E402
from Rig.history import fill  # noqa: E402
from Rig.program import Program  # noqa: E402

PORT, OPERATIONS = 17_290, 17_291
GOALS = "12 KB a socket, 250 ms to all, 50,000 deliveries a second and core"


class Readers:
    """Sockets that count the messages that come, each with its time."""

    def __init__(self):
        self.poll, self.sockets, self.rest = select.epoll(), {}, {}

    def add(self, connection):
        connection.setblocking(False)
        self.sockets[connection.fileno()] = connection
        self.rest[connection.fileno()] = b""
        self.poll.register(connection.fileno(), select.EPOLLIN)

    def take(self, wanted, seconds):
        """Times at which messages came, until there are enough."""
        times, deadline = [], time.monotonic() + seconds
        while len(times) < wanted and time.monotonic() < deadline:
            for number, _ in self.poll.poll(0.1):
                data = self.sockets[number].recv(1 << 18)
                now = time.monotonic()
                if not data:
                    sys.exit("a socket has ended")
                times += [now] * self.frames(number, data)
        return times

    def frames(self, number, data):
        data, count, start = self.rest[number] + data, 0, 0
        while len(data) - start >= 2:
            length, head = data[start + 1], 2
            if length == 126:
                if len(data) - start < 4:
                    break
                length, head = data[start + 2] << 8 | data[start + 3], 4
            if len(data) - start < head + length:
                break
            count += data[start] == 0x81
            start += head + length
        self.rest[number] = data[start:]
        return count


def connect(path):
    connection = socket.create_connection(("127.0.0.1", PORT), timeout=30)
    connection.sendall((f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").encode())
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(1024)
    if not head.startswith(b"HTTP/1.1 101 "):
        sys.exit(f"no socket: {head[:300]}")
    return connection


def memory(process):
    with open(f"/proc/{process}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


def processor(process):
    with open(f"/proc/{process}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ask(method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
    connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
    return json.loads(connection.getresponse().read() or b"{}")


def percentile(values, part):
    return sorted(values)[min(len(values) - 1, int(len(values) * part))] * 1000


def loop_limit(count, size, rounds=10):
    """Messages a second if nothing is to be done but to send the bytes, by one thread of this program."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    readers, ends = Readers(), []
    for _ in range(count):
        readers.add(socket.create_connection(listener.getsockname()))
        ends.append(listener.accept()[0])
    frame = bytes([0x81, 126, size >> 8, size & 255]) + b"x" * size

    def send():
        for _ in range(rounds):
            for end in ends:
                end.sendall(frame)
    began = time.monotonic()
    thread = threading.Thread(target=send)
    thread.start()
    taken = len(readers.take(count * rounds, 120))
    thread.join()
    for end in ends:
        end.close()
    return taken / (time.monotonic() - began)


def way_back(database, events):
    """Reads the whole log again as server-sent events from its first event on."""
    fill(database, 1, events // 4)
    while database.sql("select count(*) from annals.log_index") != database.sql("select count(*) from annals.events"):
        time.sleep(0.5)
    first = database.sql("select i.index || '-' || e.event_id from annals.log_index i join annals.events e using (epoch, xid, sequence) "
                         "order by i.index limit 1")
    last = int(database.sql("select max(index) from annals.log_index"))
    connection = socket.create_connection(("127.0.0.1", PORT), timeout=60)
    connection.sendall(f"GET /events HTTP/1.0\r\nHost: x\r\nLast-Event-ID: {first}\r\n\r\n".encode())
    file, expected, began, gaps, doubles = connection.makefile("rb"), int(first.split("-")[0]) + 1, time.monotonic(), 0, 0
    while expected <= last:
        line = file.readline()
        if not line:
            sys.exit("the stream has ended")
        if line.startswith(b"id: "):
            index = int(line[4:].split(b"-")[0])
            gaps, doubles = gaps + max(0, index - expected), doubles + (index < expected)
            expected = index + 1
    return last, last / (time.monotonic() - began), gaps, doubles


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sockets", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=1_000_000)
    options = parser.parse_args()
    binary = stack.binary()
    name = stack.unique("sockets")
    environment = dict(
        os.environ, ANNALS_HTTP_PORT=str(PORT), ANNALS_OPERATIONS_PORT=str(OPERATIONS),
        ANNALS_POSTGRES_URL=f"{stack.postgres_server()}/{name}")
    database = ScratchDatabase(name, binary, environment)
    folder = stack.folder("bench")
    server = Program([binary, "serve"], environment, os.path.join(folder, "sockets.log"), PORT)
    try:
        stack.Deadline(30, folder).wait("the API", server.is_ready, 0.1)
        process = server.process.pid
        id = ask("POST", "/documents", {"title": "Watched"})["id"]
        before, readers = memory(process), Readers()
        for _ in range(options.sockets):
            readers.add(connect(f"/ws/{id}"))
        time.sleep(2)
        print(f"memory                {(memory(process) - before) / options.sockets:.1f} KB a socket ({options.sockets} sockets; beside the kernel's)")
        times = []
        for number in range(20):
            began = time.monotonic()
            ask("PATCH", f"/documents/{id}", {"title": f"one {number}"})
            came = readers.take(options.sockets, 30)
            if len(came) != options.sockets:
                sys.exit(f"{len(came)} of {options.sockets} messages came")
            times += [moment - began for moment in came]
            time.sleep(0.3)
        print(f"one event to all      p50 {percentile(times, .5):.0f}, p99 {percentile(times, .99):.0f} ms, from the request on")
        changes = 20
        spent, began = processor(process), time.monotonic()

        def burst():
            for number in range(changes):
                ask("PATCH", f"/documents/{id}", {"title": f"burst {number}"})
        writer = threading.Thread(target=burst)
        writer.start()
        count = len(readers.take(options.sockets * changes, 60))
        seconds, spent = time.monotonic() - began, processor(process) - spent
        writer.join()
        if count != options.sockets * changes:
            sys.exit(f"{count} of {options.sockets * changes} messages came")
        for connection in readers.sockets.values():
            connection.close()
        limit = loop_limit(min(options.sockets, 5_000), 230)
        print(f"deliveries            {count / seconds:,.0f} a second, {count / spent:,.0f} a second of the server's processor time; "
              f"{count / seconds / limit:.2f} of a loop that only sends ({limit:,.0f}/s)")
        last, rate, gaps, doubles = way_back(database, options.events)
        print(f"way back              {last:,} events at {rate:,.0f}/s, {gaps} gaps, {doubles} doubles")
        print(f"goals                 {GOALS}")
    finally:
        server.stop()
        database.drop()


if __name__ == "__main__":
    main()
