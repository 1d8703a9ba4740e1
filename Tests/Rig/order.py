"""Checks what arrived against what was committed (guarantees G2, G3, G4).

For each key the topic must hold the versions 1, 2, 3 … in order. A redelivery may go back to any earlier version; from
there it repeats every version, without a gap, and a newer one follows only after all before it. The last message of a key
is its newest.
"""
from dataclasses import dataclass, field


@dataclass
class Verdict:
    delivered: int = 0
    doubles: list = field(default_factory=list)  # messages whose event had arrived before
    reordered: list = field(default_factory=list)  # (key, previous version, version) that may not follow each other
    stale: list = field(default_factory=list)  # (key, last version, newest version) of keys that end with an old message
    scattered: list = field(default_factory=list)  # (key, partition, other partition): one key has one partition
    foreign: list = field(default_factory=list)  # messages that no committed event explains
    lost: list = field(default_factory=list)  # committed events that did not arrive
    torn: list = field(default_factory=list)  # transactions of which only some events arrived

    @property
    def out_of_order(self):
        return len(self.reordered) + len(self.stale) + len(self.scattered)

    def holds(self, doubles_allowed=True):
        return not any(
            count for name, count in self.anomalies() if not doubles_allowed or name != "duplicate")

    def anomalies(self):
        """Each class of anomaly and how often it was found, by the names of Jepsen's workload for Kafka where it has one."""
        return [("lost-write", len(self.lost)), ("torn-transaction", len(self.torn)), ("aborted-read", len(self.foreign)),
                ("poll-skip", len(self.reordered)), ("nonmonotonic-poll", len(self.stale)),
                ("inconsistent-partition", len(self.scattered)), ("duplicate", len(self.doubles))]

    def evidence(self, most=5):
        """A few lines about what is wrong."""
        parts = [("may not follow", self.reordered), ("does not end with its newest", self.stale),
                 ("in two partitions", self.scattered), ("not of this log", self.foreign), ("lost", self.lost)]
        return [f"  {what}: {item}" for what, items in parts for item in items[:most]]


def check(messages, committed, transactions=None):
    """Judges messages in the order in which they arrived.

    `committed` maps an event's id to its key and version, `transactions` to what was committed with it.
    """
    verdict, last, newest, seen, partitions = Verdict(), {}, {}, set(), {}
    for message in messages:
        verdict.delivered += 1
        if committed.get(message.event) != (message.key, message.version):
            verdict.foreign.append(message)
            continue
        if message.event in seen:
            verdict.doubles.append(message)
        seen.add(message.event)
        if partitions.setdefault(message.key, message.partition) != message.partition:
            verdict.scattered.append((message.key, partitions[message.key], message.partition))
        previous = last.get(message.key, 0)
        if message.version > previous + 1:
            verdict.reordered.append((message.key, previous, message.version))
        last[message.key] = message.version
        newest[message.key] = max(newest.get(message.key, 0), message.version)
    verdict.stale = [(key, version, newest[key]) for key, version in last.items() if version != newest[key]]
    verdict.lost = [(event, *where) for event, where in committed.items() if event not in seen]
    if transactions:
        missing = {transactions[event] for event, *_ in verdict.lost}
        verdict.torn = sorted(missing & {transactions[event] for event in seen})
    return verdict
