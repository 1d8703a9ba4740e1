"""Compares messages field by field, order included. Only what differs from run to run is masked."""
import json


def is_heartbeat(record):
    return record["topic"].startswith("__debezium-heartbeat")


def without_heartbeats(records):
    return [record for record in records if not is_heartbeat(record)]


# The same fields where a flattened record has them beside its row, or as headers.
FLATTENED = {"__lsn", "__ts_ms", "__source_ts_ms", "__transaction_id", "__source_txId"}
VOLATILE_SOURCE = {"version", "ts_ms", "ts_us", "ts_ns", "sequence", "txId", "lsn", "xmin", "origin_lsn"}


def parse(text):
    if text is None:
        return None
    try:
        return json.loads(text, object_pairs_hook=lambda pairs: ("object", [list(pair) for pair in pairs]))
    except ValueError:
        return text


def masked(value, topic):
    """The value with what changes from run to run taken out, order kept."""
    if not (isinstance(value, tuple) and value[0] == "object"):
        return value
    members = value[1]
    names = [name for name, _ in members]
    if names == ["schema", "payload"]:
        return ("object", [members[0], ["payload", masked(members[1][1], topic)]])
    result = []
    for name, member in members:
        if name in ("ts_ms", "ts_us", "ts_ns") or name in FLATTENED:
            member = "*" if member is not None else None
        elif name == "source" and isinstance(member, tuple):
            member = ("object", [[n, "*" if n in VOLATILE_SOURCE and v is not None else v] for n, v in member[1]])
            # Whether a commit came before depends on when the reader started.
        elif name == "transaction" and isinstance(member, tuple):
            member = ("object", [[n, "*" if n == "id" else v] for n, v in member[1]])
        elif name == "id" and topic.endswith("transaction"):
            member = "*"
        elif name == "data_collections" and isinstance(member, list):
            # In the order of a hash table; messages are named by an object's address.
            member = sorted((dict(map(tuple, c[1])) for c in member), key=str)
            for collection in member:
                if "LogicalDecodingMessage" in collection["data_collection"] or collection["data_collection"] == "message":
                    collection["data_collection"] = "message"
            member = sorted(member, key=str)
        result.append([name, member])
    return ("object", result)


def normal(record, headers):
    topic = record["topic"]
    return {
        "topic": topic, "partition": record["partition"], "timestamp": "*" if record["timestamp"] else None,
        "key": masked(parse(record["key"]), topic), "value": masked(parse(record["value"]), topic),
        "headers": [(h["key"], "*" if h["key"] in FLATTENED else h["value"]) for h in record[headers] if not h["key"].startswith("__debezium.context.")],
    }


def differences(path, ours, theirs):
    if isinstance(ours, tuple) and isinstance(theirs, tuple) and ours[0] == theirs[0] == "object":
        ours, theirs = ours[1], theirs[1]
        if [name for name, _ in ours] != [name for name, _ in theirs]:
            yield path, [name for name, _ in ours], [name for name, _ in theirs]
            return
        for (name, left), (_, right) in zip(ours, theirs):
            yield from differences(f"{path}.{name}", left, right)
    elif isinstance(ours, dict) and isinstance(theirs, dict) and ours.keys() == theirs.keys():
        for name in ours:
            yield from differences(f"{path}.{name}" if path else name, ours[name], theirs[name])
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, (left, right) in enumerate(zip(ours, theirs)):
            yield from differences(f"{path}[{index}]", left, right)
    elif type(ours) is bool or type(theirs) is bool:
        if ours is not theirs:
            yield path, ours, theirs
    elif ours != theirs:
        yield path, ours, theirs


def short(value):
    text = str(value)
    return text if len(text) < 120 else text[:117] + "..."
