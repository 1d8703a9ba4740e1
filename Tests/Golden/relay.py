"""The relay under a recorded case's own configuration, printing its messages."""
import json
import os
import re
import select
import signal
import subprocess
import time

from comparing import without_heartbeats
from Rig import stack

PORT = 17_085


def properties(case):
    host, port = stack.postgres_parts()[1:]
    lines = []
    for line in open(os.path.join(case, "config.properties")):
        if line.startswith("golden."):
            continue  # the recording's own
        line = re.sub(r"^database\.hostname=.*", f"database.hostname={host}", line)
        line = re.sub(r"^database\.port=.*", f"database.port={port}", line)
        line = re.sub(r"^database\.user=.*", "database.user=annals", line)
        lines.append(line)
    return "".join(lines)


class Relay:
    def __init__(self, binary, folder, case):
        path = os.path.join(folder, "connector.properties")
        with open(path, "w") as file:
            file.write(properties(case))
        self.errors = open(os.path.join(folder, "log"), "w+")
        self.process = subprocess.Popen(
            [binary, "relay", "--relay.connector", path, "--relay.destination", "print", "--relay.port", str(PORT),
             "--log.form", "json"], stdout=subprocess.PIPE, stderr=self.errors, env=dict(os.environ))
        os.set_blocking(self.process.stdout.fileno(), False)
        self.rest = b""
        self.records = []

    def log(self):
        self.errors.flush()
        with open(self.errors.name) as file:
            return file.read()

    def wait_until_streaming(self):
        deadline = time.monotonic() + 15
        while '"Looking: ' not in self.log():
            self.read(0.02)
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the relay does not stream: " + self.log()[-600:])

    def read(self, seconds):
        if select.select([self.process.stdout], [], [], seconds)[0]:
            self.rest += self.process.stdout.read() or b""
            *lines, self.rest = self.rest.split(b"\n")
            self.records += [json.loads(line) for line in lines]

    def read_until(self, count):
        deadline = time.monotonic() + 10
        while len(without_heartbeats(self.records)) < count and time.monotonic() < deadline:
            self.read(0.1)
        self.read(0.3)  # nothing may follow

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
