"""Annals as `make up SERVICES=apart` runs it: each service a process of its own, behind the gateway, with PgBouncer before Postgres."""
import os
import secrets
import subprocess
import sys

from Rig import stack, tokens
from Rig.database import ScratchDatabase
from Rig.program import Program

SERVICES = "documents,types,links,batches,search,searches,webhooks,audit,analytics,grpc"


class Apart:
    """Runs on ports from `first` on, with a database of its own; every request needs a token (`token`)."""

    def __init__(self, first, binary, log, more=None):
        self.name, self.folder = stack.unique("apart_"), stack.folder("apart")
        self.gateway = os.path.join(self.folder, "gateway")
        self.secret = secrets.token_hex(32)
        self.log = log
        documents, signatures, search, streams, relay, project, grpc, gateway, tls = range(first, first + 9)
        pooler = stack.address("POOLER_URL").rsplit("/", 1)[0]
        self.environment = dict(
            os.environ, ANNALS_POSTGRES_URL=f"{stack.postgres_server()}/{self.name}",
            ANNALS_POSTGRES_POOLER_URL=f"{pooler}/{self.name}", ANNALS_POSTGRES_PREPARED_STATEMENTS="false",
            ANNALS_POSTGRES_POOL_SIZE="2", ANNALS_AUTH_MODE="tokens", ANNALS_AUTH_SECRET=self.secret,
            ANNALS_RELAY_SLOT=self.name, ANNALS_RELAY_TOPIC=self.name + ".{aggregate}s",
            ANNALS_PROJECTION_GROUP=self.name, ANNALS_ELASTICSEARCH_ALIAS=self.name, ANNALS_REDIS_PREFIX=self.name + ":",
            ANNALS_HTTP_TRUSTED_PROXIES="127.0.0.1", ANNALS_GRPC_PORT=str(grpc), ANNALS_LOG_LEVEL="warning")
        self.database = ScratchDatabase(self.name, binary, self.environment)

        def serve(features, port):
            return Program(
                [binary, "serve", features, "--port", str(port), "--operations.port", str(port + 100)],
                self.environment, log, port)
        self.programs = {
            "documents": serve(SERVICES, documents), "signatures": serve("signatures", signatures),
            "search": serve("search", search), "sockets": serve("streams", streams),
            "relay": Program([binary, "relay", "--relay.port", str(relay)], self.environment, log, relay),
            "project": Program([binary, "project", "--projection.port", str(project)], self.environment, log, project),
        }
        result = subprocess.run(
            [os.path.join(stack.ROOT, "scripts", "gateway"), "start", self.gateway, f"LISTEN={gateway}", f"TLS={tls}",
             f"DOCUMENTS={documents}", f"SIGNATURES={signatures}", f"SEARCH={search}", f"STREAMS={streams}",
             f"GRPC={grpc}", "RATE=1000000", "BURST=100000"], capture_output=True, text=True)
        if result.returncode:
            sys.exit(f"the gateway did not start: {result.stderr}")
        self.port, self.url = gateway, f"http://127.0.0.1:{gateway}"
        deadline = stack.Deadline(60, log)
        for name, program in self.programs.items():
            deadline.wait(name, program.is_ready)

    def token(self, subject, *roles):
        return tokens.token(self.secret, subject, *roles)

    def stop(self):
        subprocess.run([os.path.join(stack.ROOT, "scripts", "gateway"), "stop", self.gateway], check=False)
        statuses = {name: program.stop() for name, program in reversed(self.programs.items())}
        self.database.drop()
        if any(statuses.values()):
            print(f"processes that did not end well: { {name: status for name, status in statuses.items() if status} }")
