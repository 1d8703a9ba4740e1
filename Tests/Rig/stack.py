"""The servers and the binary that a run uses."""
import os
import random
import re
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def address(variable):
    """A server's address; the stack sets it."""
    if not os.environ.get(variable):
        sys.exit(f"{variable} is not set: run this through make, or: scripts/stack with test COMMAND")
    return os.environ[variable]


def postgres_server():
    """The connection string up to the database's name."""
    return address("ANNALS_POSTGRES_URL").rsplit("/", 1)[0]


def postgres_parts(server=None):
    """User, host and port of the server."""
    user, host, port = re.match(r"\w+://(?:([^@]*)@)?([^:/]+):(\d+)", server or postgres_server()).groups()
    return user or "annals", host, port


def engines():
    """The folder with real servers; None with stand-ins."""
    folder = os.environ.get("ANNALS_ENGINES")
    return os.path.abspath(folder) if folder else None


def need_engines(what):
    if not engines():
        sys.exit(f"{what} needs a real Kafka: set ANNALS_ENGINES")
    return engines()


def folder(name):
    """An empty folder for a program's own files."""
    path = os.path.join(ROOT, ".stack", "test", name)
    subprocess.run(["rm", "-rf", path], check=True)
    os.makedirs(path)
    return path


def unique(prefix):
    return f"{prefix}{random.randrange(10**9)}"


def binary(configuration="release", *options):
    """Builds annals and returns its path; RIG_BINARY names one that is built already."""
    if os.environ.get("RIG_BINARY"):
        return os.path.abspath(os.environ["RIG_BINARY"])
    command = ["swift", "build", "-c", configuration, *options, "--product", "annals"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if result.returncode:
        sys.exit(result.stdout[-3000:] + result.stderr[-3000:])
    where = subprocess.run([*command, "--show-bin-path"], cwd=ROOT, check=True, capture_output=True, text=True)
    return os.path.join(where.stdout.strip(), "annals")


class Deadline:
    """Bounds a whole run."""

    def __init__(self, seconds, log=None):
        self.end, self.log = time.monotonic() + seconds, log

    def wait(self, what, condition, pause=0.02):
        """Returns once `condition` holds."""
        while not condition():
            if time.monotonic() > self.end:
                sys.exit(f"{what} did not happen in time" + (f"; see {self.log}" if self.log else ""))
            time.sleep(pause)
