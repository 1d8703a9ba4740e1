"""A program with a database of its run, the documents that are written through it, and what the log then holds."""
import http.client
import json
import os
import random
import sys

from Rig.database import sql


def need(holds, what):
    print(("ok      " if holds else "PROBLEM ") + what, flush=True)
    if not holds:
        sys.exit(1)


def in_order(server, run):
    """Whether each stream's versions follow the log's indexes."""
    return sql(run, "select count(*) from (select version, row_number() over (partition by stream_id order by i.index) n "
                    "from annals.log_index i join annals.events e using (epoch, xid, sequence)) x where version <> n", server) == "0"


class Documents:
    """Documents of a run, through the API on a port."""

    def __init__(self, run, port):
        self.run, self.port, self.ids = run, port, []

    def environment(self, server):
        return dict(
            os.environ, ANNALS_POSTGRES_URL=f"{server}/{self.run}", ANNALS_HTTP_PORT=str(self.port),
            ANNALS_OPERATIONS_PORT=str(self.port + 1), ANNALS_RELAY_SLOT=self.run, ANNALS_RELAY_TOPIC=f"{self.run}.{{aggregate}}s",
            ANNALS_ELASTICSEARCH_ALIAS=self.run, ANNALS_PROJECTION_GROUP=self.run, ANNALS_LOG_FORM="json")

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json", "X-Actor": "rig"})
        response = connection.getresponse()
        return response.status, response.read().decode()

    def write(self, count):
        for number in range(count):
            if self.ids and number % 3:
                status, _ = self.ask("PATCH", f"/documents/{random.choice(self.ids)}", {"title": f"Title {number} {random.random()}"})
            else:
                status, body = self.ask("POST", "/documents", {"title": f"Document {number}"})
                self.ids.append(json.loads(body)["id"])
            if status not in (200, 201):
                sys.exit(f"a write got {status}")

    def committed(self, server):
        """The events of documents in the log: key and version by event."""
        rows = sql(self.run, "select event_id, split_part(stream_id, 'document-', 2), version from annals.events "
                             "where stream_id like 'document-%'", server)
        return {event: (key, int(version)) for event, key, version in (row.split("|") for row in rows.splitlines())}
