"""The messages of a topic, as an independent consumer reads them."""
import json
import subprocess
import sys
from typing import NamedTuple

from Rig import stack


class Message(NamedTuple):
    key: str
    version: int
    event: str
    timestamp: int  # milliseconds
    partition: int = 0


def consume(topic, form, isolation="read_committed", brokers=None, settings=()):
    """All messages of a topic from its beginning, each printed by kcat in that form."""
    result = subprocess.run(
        ["kcat", "-b", brokers or stack.address("ANNALS_KAFKA_BROKERS"), "-m", "60", "-C", "-q", "-t", topic, "-o", "beginning", "-e",
         *settings, "-X", f"isolation.level={isolation}", "-f", form], capture_output=True, text=True, timeout=180)
    if result.returncode:
        sys.exit(f"kcat ends with {result.returncode}: {result.stderr[-500:]}")
    return result.stdout


def read(topic, isolation="read_committed", brokers=None, settings=()):
    """The change events of a topic, tombstones left out."""
    for line in consume(topic, "%T\t%k\t%h\t%S\t%p\n", isolation, brokers, settings).splitlines():
        timestamp, key, headers, size, partition = line.split("\t")
        if int(size) < 0:
            continue
        fields = dict(item.split("=", 1) for item in headers.split(",") if "=" in item)
        yield Message(json.loads(key)["id"], int(fields["stream_version"]), fields["event_id"], int(timestamp), int(partition))
