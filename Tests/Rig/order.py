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

    @property
    def out_of_order(self):
        return len(self.reordered) + len(self.stale) + len(self.scattered)

    def holds(self, doubles_allowed=True):
        return not (self.reordered or self.stale or self.scattered or self.foreign or self.lost) and (doubles_allowed or not self.doubles)

    def evidence(self, most=5):
        """A few lines about what is wrong."""
        parts = [("may not follow", self.reordered), ("does not end with its newest", self.stale),
                 ("in two partitions", self.scattered), ("not of this log", self.foreign), ("lost", self.lost)]
        return [f"  {what}: {item}" for what, items in parts for item in items[:most]]


def check(messages, committed):
    """Judges messages in the order in which they arrived.

    `committed` maps an event's id to its key and version.
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
    return verdict
