"""A relay under load in a world that a scenario breaks: writers, the relay, an independent consumer, the verdict."""
import os
import random
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from Rig import order, stack, topic  # noqa: E402
from Rig.database import OUTBOX_ROW, ScratchDatabase, sql  # noqa: E402
from Rig.program import Program  # noqa: E402
from Rig.writers import Writers  # noqa: E402

PORT, CLUSTER_PORT = 17_086, 19_292


class World:
    """What a scenario may break. `environment` is the relay's; `kcat` holds the consumer's settings."""

    def __init__(self, **settings):
        self.run = stack.unique("relay")
        self.folder = stack.folder("relay")
        self.log = os.path.join(self.folder, "relay.log")
        self.deadline = stack.Deadline(600, self.log)
        self.server = stack.postgres_server()
        self.at_end, self.kcat, self.recoveries = [], [], []
        self.calm_since = None  # milliseconds: since then nothing is broken, and doubles have no excuse
        self.binary = stack.binary()
        self.environment = dict(
            os.environ, ANNALS_POSTGRES_URL=self.database_url, ANNALS_RELAY_SLOT=self.run, ANNALS_RELAY_PORT=str(PORT),
            ANNALS_RELAY_TOPIC=self.run + ".{aggregate}s", ANNALS_LOG_FORM="json", **settings)

    @property
    def database_url(self):
        return f"{self.server}/{self.run}"

    def sql(self, text, database=None):
        return sql(database or self.run, text, self.server)

    def wait(self, what, condition):
        self.deadline.wait(what, condition, 0.01)

    # The relay.

    def start(self):
        self.relay = Program([self.binary, "relay"], self.environment, self.log, PORT)
        self.at_end.append(lambda: self.relay.stop())

    def delivered(self):
        return self.relay.metric("annals_relay_delivered_total")

    def wait_for_progress(self):
        before = self.delivered()
        self.wait("progress", lambda: self.delivered() > before)

    def recover(self):
        """Starts the relay after a fault, and notes how long it takes until Kafka has acknowledged something again."""
        began = time.monotonic()
        self.relay.start()
        self.wait("recovery", lambda: self.delivered() > 0)
        self.recoveries.append(time.monotonic() - began)

    def caught_up(self):
        """Waits until Kafka has acknowledged all that is committed now."""
        end = self.sql("select pg_current_wal_lsn()")
        self.wait("catching up", lambda: self.sql(
            "select not exists (select 1 from annals.outbox o, annals.relay_checkpoints c where (o.epoch, o.xid, o.sequence) > "
            "(c.epoch, c.xid, c.sequence))" if self.environment.get("ANNALS_RELAY_SOURCE") == "table" else
            f"select confirmed_flush_lsn >= '{end}' from pg_replication_slots where slot_name = '{self.run}'") == "t")

    def committed(self):
        """Each event's key and version, and its transaction."""
        rows = [row.split("|") for row in self.sql(
            # Parts of the outbox go once they are published; rows that were written without an event are there only.
            "select event_id, substr(stream_id, 10), version, epoch || '/' || xid from annals.events where stream_id like 'document-%' "
            "union select event_id, key, version, epoch || '/' || xid from annals.outbox").splitlines()]
        return ({event: (key, int(version)) for event, key, version, _ in rows}, {row[0]: row[3] for row in rows})

    def messages(self, isolation="read_committed"):
        return list(topic.read(f"{self.run}.documents", isolation, self.environment["ANNALS_KAFKA_BROKERS"], self.kcat))


NOT_TESTED = "loss of power (a killed process leaves what the kernel has), damaged disks, clocks that jump"


def run(scenario, prepare=lambda world: None, clients=8, rate=None, doubles_allowed=True, not_tested=NOT_TESTED, **settings):
    """Runs a scenario: `scenario(world)` breaks things and says what it did. Ends the program with 0 if all holds."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the clean-up is done all the same
    world = World(**settings)
    started, holds = time.monotonic(), False
    try:
        database = ScratchDatabase(world.run, world.binary, world.environment)
        world.at_end.append(lambda: database.drop())
        prepare(world)
        writer = world.writer = Writers(world, clients, rate or os.environ.get("RATE", "600"))
        world.at_end.append(lambda: writer.kill())
        world.start()
        what = scenario(world)
        writer.stop()
        committed, transactions = world.committed()
        world.caught_up()
        seconds = time.monotonic() - started
        messages = world.messages()
        verdict = order.check(messages, committed, transactions)
        unexplained = [m for m in verdict.doubles if world.calm_since and m.timestamp > world.calm_since]
        print(f"events                 {len(committed)} of {len(set(key for key, _ in committed.values()))} keys in "
              f"{seconds:.0f} s; {what}")
        if not doubles_allowed:
            print(f"aborted on the topic   {len(world.messages('read_uncommitted')) - len(messages)}")
        print(f"delivered              {verdict.delivered}")
        # What the server said was written is written; large transactions of the scenario come on top.
        appended = len([event for event, (key, _) in committed.items() if key != "large"])
        vanished = max(0, writer.ok - len({transactions[event] for event, (key, _) in committed.items() if key != "large"}))
        print(f"operations             {writer.ok} ok, {writer.failed} failed, {writer.unknown} unknown; {appended} events")
        print(f"vanished-write         {vanished}")
        for name, count in verdict.anomalies():
            print(f"{name:22} {count}")
        if world.calm_since:
            print(f"duplicate in calm      {len(unexplained)}")
        if world.recoveries:
            times = sorted(world.recoveries)
            print(f"recovery               p50 {times[len(times) // 2]:.2f} s, max {times[-1]:.2f} s, {len(times)} times")
        print(f"not tested             {not_tested}")
        for line in verdict.evidence():
            print(line)
        holds = bool(committed) and verdict.holds(doubles_allowed) and not unexplained and not vanished
    finally:
        while world.at_end:
            world.at_end.pop()()
    print("it holds" if holds else "IT DOES NOT HOLD")
    sys.exit(0 if holds else 1)


def pause(most):
    """A random moment: the kill must find the relay anywhere."""
    time.sleep(random.uniform(0, most))


def write_large(world, rows):
    world.sql("select annals.add_outbox_partitions(20, 250000)")
    world.sql(f"""{OUTBOX_ROW}
        select nextval('annals.event_sequence'), 'document', 'large', 'c',
               json_build_object('n', n, 'text', repeat('x', 300)), gen_random_uuid(), 'DocumentCreated', n, clock_timestamp()
        from generate_series(1, {rows}) n order by n""")


def peak(world, limit=256):
    """The relay's peak of memory, in MiB. More than `limit` ends the run."""
    with open(f"/proc/{world.relay.process.pid}/status") as file:
        megabytes = int(next(line for line in file if line.startswith("VmHWM")).split()[1]) // 1024
    if megabytes > limit:
        sys.exit(f"the relay took {megabytes} MiB, more than {limit}")
    return megabytes
