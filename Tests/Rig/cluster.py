"""A Postgres cluster of a run's own: made, copied, promoted, upgraded."""
import os
import subprocess
import sys

from Rig import stack
from Rig.database import sql

SAME = ("max_connections", "max_wal_senders", "max_replication_slots", "max_prepared_transactions", "wal_level", "fsync")


class Cluster:
    """A data folder and the port at which its server listens."""

    def __init__(self, folder, port, like=None):
        """`like`: the server whose settings and programs it takes; the stack's if it is missing."""
        self.folder, self.port, self.like = folder, port, like or stack.postgres_server()
        self.server = f"postgresql://annals@127.0.0.1:{port}"
        self.binaries = sql("postgres", "select setting from pg_config where name = 'BINDIR'", self.like)
        settings = sql("postgres", f"select string_agg(format('-c %s=%s', name, setting), ' ') from pg_settings where name in {SAME}",
                       self.like)
        self.options = f"-c port={port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' {settings}"

    def program(self, name, *arguments, check=True):
        # Postgres refuses to run as root; in a user namespace this user has another number.
        runs = ["unshare", "--user", "--map-user=1000", "--map-group=1000"] if os.getuid() == 0 else []
        result = subprocess.run([*runs, f"{self.binaries}/{name}", *arguments], capture_output=True, text=True,
                                cwd=os.path.dirname(self.folder))
        if check and result.returncode:
            sys.exit(f"{name}: {result.stdout[-2000:]}{result.stderr[-2000:]}")
        return result

    def create(self):
        self.program("initdb", "-D", self.folder, "-U", "annals", "-A", "trust", "-E", "UTF8", "--locale=C")

    def copy(self, server):
        """A standby of a running server."""
        user, host, port = stack.postgres_parts(server)
        self.program("pg_basebackup", "-D", self.folder, "-R", "-X", "stream", "-c", "fast", "-U", user, "-h", host, "-p", port)

    def start(self):
        # Its server holds the pipe's other end: no output is waited for.
        log = os.path.join(os.path.dirname(self.folder), f"{os.path.basename(self.folder)}.log")
        self.program("pg_ctl", "-D", self.folder, "-w", "-t", "60", "-l", log, "-o", self.options, "start")

    def stop(self, mode="fast"):
        self.program("pg_ctl", "-D", self.folder, "-w", "-m", mode, "stop", check=False)

    def promote(self):
        self.program("pg_ctl", "-D", self.folder, "-w", "promote")

    def upgrade(self, old):
        """Takes over the databases of a stopped cluster, as pg_upgrade does it: this one gets an identifier of its own."""
        self.create()
        self.program("pg_upgrade", "-b", self.binaries, "-B", self.binaries, "-d", old.folder, "-D", self.folder, "-U", "annals",
                     "-p", str(old.port), "-P", str(self.port), "-s", os.path.dirname(self.folder), "-o", "-c wal_level=logical")
