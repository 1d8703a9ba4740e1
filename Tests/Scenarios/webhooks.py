#!/usr/bin/env python3
"""Kills processes that send webhooks again and again, while the receiver fails, breaks off and is slow, and checks that the receiver has
taken every event of every document, in order.

WEBHOOK_APPENDS (3,000) changes of 60 documents through the REST API of two processes, of which one at a time is killed with SIGKILL. What
was taken may come again after a kill, under the same id; nothing may be left out, and nothing may come before what was before it. Prints
the counts; ends with 1 on loss or reorder.
"""
import http.client
import http.server
import json
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from Rig import stack  # noqa: E402
from Rig.database import ScratchDatabase  # noqa: E402
from Rig.program import Program  # noqa: E402

APPENDS, DOCUMENTS, PORTS = int(os.environ.get("WEBHOOK_APPENDS", "3000")), 60, (17180, 17190)
RUN = stack.unique("webhooks")
FOLDER = stack.folder("webhooks")
DEADLINE = stack.Deadline(420, FOLDER)
SEED = random.Random(RUN)

ENVIRONMENT = dict(
    os.environ, ANNALS_POSTGRES_URL=f"{stack.postgres_server()}/{RUN}", ANNALS_LOG_FORM="json", ANNALS_GRPC_PORT="0",
    ANNALS_AUTH_MODE="development", ANNALS_WEBHOOKS_SECRET="a secret of this run, of 32 bytes or more",
    ANNALS_WEBHOOKS_ALLOW_PRIVATE="true", ANNALS_WEBHOOKS_TIMEOUT="2s",
    # A document is never parked.
    ANNALS_WEBHOOKS_RETRIES=",".join(["300ms"] * 30))


class Taken:
    """What the receiver has taken, by document."""

    def __init__(self):
        self.newest, self.ids, self.again, self.early = {}, set(), 0, []
        self.lock = threading.Lock()

    def take(self, document, version, id):
        with self.lock:
            before = self.newest.get(document, 0)
            if version > before + 1:
                self.early.append((document, version, before))
            self.again += id in self.ids
            self.ids.add(id)
            self.newest[document] = max(before, version)


def convicts():
    """The judge sees what it looks for."""
    taken = Taken()
    for version, id in ((1, "a"), (2, "b"), (1, "a"), (2, "b"), (3, "c")):
        taken.take("x", version, id)
    assert not taken.early and taken.again == 2 and taken.newest == {"x": 3}
    taken.take("x", 5, "e")
    assert taken.early == [("x", 5, 3)]


class Receiver(http.server.ThreadingHTTPServer):
    def __init__(self):
        self.taken, self.answers = Taken(), {}
        taken, answers = self.taken, self.answers

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                chance = random.random()
                kind = "breaks off" if chance < 0.01 else "slow" if chance < 0.012 else "500" if chance < 0.04 else "200"
                answers[kind] = answers.get(kind, 0) + 1
                if kind == "slow":
                    time.sleep(3)
                if kind == "breaks off":
                    self.close_connection = True
                    self.connection.close()
                    return
                if kind == "200":
                    taken.take(message["data"]["id"], message["data"]["version"], self.headers["webhook-id"])
                try:
                    self.send_response(500 if kind == "500" else 200)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                except OSError:
                    pass

            def log_message(self, *arguments):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *arguments):
        pass


def request(method, path, body=None):
    """Asks whoever is there."""
    while time.monotonic() < DEADLINE.end:
        for port in SEED.sample(PORTS, 2):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            try:
                connection.request(method, path, body and json.dumps(body), {"Content-Type": "application/json"})
                response = connection.getresponse()
                if response.status < 300:
                    return json.loads(response.read() or b"null")
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
        time.sleep(0.05)
    sys.exit("nobody answers")


def hunt(programs, done):
    while not done.is_set():
        for program in programs:
            delivered = 'annals_webhook_attempts_total'
            DEADLINE.wait("it sends", lambda: done.is_set() or program.metric(delivered) > 0, 0.1)
            done.wait(random.uniform(0.2, 1.5))
            if done.is_set():
                return
            program.kill()
            program.start()


def run(binary, database, programs):
    DEADLINE.wait("the API", lambda: all(program.is_ready() for program in programs))
    receiver = Receiver()
    hook = request("POST", "/webhooks", {"url": f"http://127.0.0.1:{receiver.server_port}/"})["id"]
    done = threading.Event()
    hunter = threading.Thread(target=hunt, args=(programs, done), daemon=True)
    hunter.start()
    documents = [request("POST", "/documents", {"title": f"Document {n}"})["id"] for n in range(DOCUMENTS)]
    for number in range(APPENDS):
        request("PATCH", f"/documents/{SEED.choice(documents)}", {"title": f"Title {number}"})
        # So that the changes last for the kills.
        time.sleep(SEED.uniform(0, 0.02))
    done.set()
    hunter.join()

    def versions():
        rows = database.sql("select stream_id, max(version) from annals.events where stream_id like 'document-%' group by 1")
        return {row.split("|")[0].removeprefix("document-"): int(row.split("|")[1]) for row in rows.splitlines()}

    expected = versions()

    def is_done():
        taken = receiver.taken
        return all(taken.newest.get(id, 0) == version for id, version in expected.items())

    begun = time.monotonic()
    while not is_done() and time.monotonic() < DEADLINE.end:
        time.sleep(0.5)
    taken = receiver.taken
    missing = {id: (taken.newest.get(id, 0), version) for id, version in expected.items() if taken.newest.get(id, 0) != version}
    events = sum(expected.values())
    print(f"{events} events of {len(expected)} documents, {sum(program.kills for program in programs)} kills, answers {receiver.answers}; "
          f"{len(taken.ids)} taken, {taken.again} again, {len(taken.early)} too early, {len(missing)} documents behind; "
          f"all there {time.monotonic() - begun:.1f} s after the last change; webhook {hook}")
    for what in list(missing.items())[:5] + taken.early[:5]:
        print("  ", what)
    return not missing and not taken.early and len(taken.ids) == events


def main():
    convicts()
    binary = stack.binary()
    database = ScratchDatabase(RUN, binary, ENVIRONMENT)
    programs = [
        Program([binary, "serve", "documents,types,webhooks"], dict(ENVIRONMENT, ANNALS_HTTP_PORT=str(port),
                ANNALS_OPERATIONS_PORT=str(port + 3)), os.path.join(FOLDER, f"{port}.log"), port + 3) for port in PORTS]
    try:
        holds = run(binary, database, programs)
    finally:
        for program in programs:
            program.stop()
        database.drop()
    print("every event came, in order" if holds else "EVENTS ARE MISSING OR OUT OF ORDER")
    sys.exit(0 if holds else 1)


main()
