"""SQL, and a database for one run."""
import subprocess
import sys

from Rig import stack


def sql(database, text, server=None, check=True):
    """Runs a statement through psql and returns what it printed."""
    result = subprocess.run(
        ["psql", "-qAt", "-v", "ON_ERROR_STOP=1", f"{server or stack.postgres_server()}/{database}", "-c", text],
        capture_output=True, text=True)
    if check and result.returncode:
        sys.exit(f"psql: {result.stderr}")
    return result.stdout.strip()


def appending(stream, category, key):
    """A statement that appends an event. The arguments are SQL expressions."""
    return f"""select annals.append_event(stream_id => {stream}, category => {category}, expected => null,
  event_id => gen_random_uuid(), type => 'Counted', schema_version => 1, data => '{{}}', metadata => '{{"actor":"test"}}',
  key => {key}, op => 'u', before => '{{}}', after => '{{"n":1}}', headers => null)"""


def appending_several(category, streams):
    """A statement that appends in one transaction: one event to each stream, two to the first. `streams` are ids and keys, as
    SQL expressions."""
    order = [1, *range(1, len(streams) + 1)]
    ids, keys = (", ".join(part) for part in zip(*streams))

    def each(value, count):
        return f"array[{', '.join([value] * count)}]"

    fields = {"event_ids": "gen_random_uuid()", "types": "'Counted'", "schema_versions": "1", "datas": "'{}'::json",
              "ops": "'u'", "befores": "'{}'::json", "afters": "'{\"n\":1}'::json"}
    arrays = ", ".join(f"{name} => {each(value, len(order))}" for name, value in fields.items())
    return f"""select annals.append_events(streams => array[{ids}], categories => {each(category, len(streams))},
  keys => array[{keys}], expected => {each("null::bigint", len(streams))}, event_streams => array{order}, {arrays},
  metadata => '{{"actor":"test"}}', headers => null)"""


OUTBOX_ROW = "insert into annals.outbox (sequence, category, key, op, after, event_id, type, version, recorded_at)"


class ScratchDatabase:
    """A migrated database with a name of its own. `drop` also drops its replication slots."""

    def __init__(self, name, binary=None, environment=None):
        self.name, self.server = name, stack.postgres_server()
        self.sql(f"drop database if exists {name} with (force)", "postgres")
        self.sql(f"create database {name}", "postgres")
        if binary:
            result = subprocess.run([binary, "migrate"], env=environment, capture_output=True, text=True)
            if result.returncode:
                sys.exit(f"annals migrate: {result.stderr}")

    @property
    def url(self):
        return f"{self.server}/{self.name}"

    def sql(self, text, database=None, check=True):
        return sql(database or self.name, text, self.server, check)

    def drop(self, server=None):
        server = server or self.server
        sql("postgres", "select pg_terminate_backend(active_pid) from pg_replication_slots where active and database = "
            f"'{self.name}'", server, check=False)
        for _ in range(50):
            left = sql("postgres", "select count(*) from (select pg_drop_replication_slot(slot_name) from "
                       f"pg_replication_slots where database = '{self.name}' and not active) as dropped", server, check=False)
            if left == "0" and sql("postgres", "select count(*) from pg_replication_slots where database = "
                                   f"'{self.name}'", server, check=False) == "0":
                break
        sql("postgres", f"drop database if exists {self.name} with (force)", server, check=False)
