"""Clients that append events at a steady rate and know of each operation how it ended."""
import random
import subprocess
import threading
import time

from Rig.database import appending, appending_several

DOCUMENTS = 25


class Writers:
    """Each client has a psql of its own, and streams of its own. An operation is one transaction: one event, or now and then
    three of two streams. It is `ok` if the server said so, `failed` if the server refused it, and `unknown` if the answer did
    not come, because the session ended."""

    def __init__(self, world, clients, rate):
        self.world, self.clients, self.rate = world, clients, float(rate)
        self.ok = self.failed = self.unknown = 0
        self.lock = threading.Lock()
        self.start()

    def start(self):
        self.stopping = threading.Event()
        self.sessions = [None] * self.clients
        self.threads = [threading.Thread(target=self.write, args=(number,), daemon=True) for number in range(self.clients)]
        for thread in self.threads:
            thread.start()

    def stop(self):
        """Waits for the operations that run."""
        self.stopping.set()
        for thread in self.threads:
            thread.join(30)

    def kill(self):
        self.stopping.set()
        for session in self.sessions:
            if session:
                session.kill()

    def write(self, number):
        due, pause = time.monotonic(), self.clients / self.rate
        while not self.stopping.is_set():
            session = self.sessions[number]
            if not session or session.poll() is not None:
                session = self.sessions[number] = subprocess.Popen(
                    ["psql", "-qAt", self.world.database_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL, text=True)
            outcome = self.operate(session, number)
            with self.lock:
                setattr(self, outcome, getattr(self, outcome) + 1)
            if outcome == "unknown":
                time.sleep(0.1)
            due = max(due + pause, time.monotonic() - 1)
            self.stopping.wait(max(0, due - time.monotonic()))
        if session:
            session.stdin.close()
            session.wait(30)

    def operate(self, session, number):
        keys = [f"'{number}-{random.randint(1, DOCUMENTS)}'"]
        if random.random() < 0.1:
            keys.append(f"'{number}-more'")
            statement = appending_several("'document'", [(f"'document-' || {key}", key) for key in keys])
        else:
            statement = appending(f"'document-' || {keys[0]}", "'document'", keys[0])
        try:
            session.stdin.write(f"{statement};\n\\echo = :ERROR :LAST_ERROR_SQLSTATE\n")
            session.stdin.flush()
            for line in session.stdout:
                if line.startswith("= "):
                    _, error, state = line.split()
                    # 57P01 and class 08: the session ended, and perhaps after the commit.
                    return "ok" if error == "false" else "unknown" if state.startswith(("57P", "08")) else "failed"
        except (BrokenPipeError, ValueError, OSError):
            pass
        return "unknown"
