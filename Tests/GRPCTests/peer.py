#!/usr/bin/python3
"""Another implementation of Protocol Buffers, Python's, for messages of everything.proto.

    peer.py make COUNT SEED FILE       random messages, each after its length (4 bytes, big-endian); some packed otherwise than
                                       proto3 does, some with unknown fields
    peer.py compare FILE ANOTHER       whether both have the same messages in the same order
    peer.py judge FILE VERDICTS        whether each verdict (a byte, 1: it is a message) is Python's own"""
import importlib
import os
import random
import struct
import subprocess
import sys
import tempfile
import warnings

HERE = os.path.dirname(os.path.abspath(__file__))
folder = tempfile.mkdtemp()
subprocess.run(["protoc", "-I", f"{HERE}/Protos", f"--python_out={folder}", "everything.proto"], check=True)
sys.path.insert(0, folder)
All = importlib.import_module("everything_pb2").All
DecodeError = importlib.import_module("google.protobuf.message").DecodeError


def number(bits, signed):
    value = random.choice([0, 1, random.getrandbits(7), random.getrandbits(bits - 1), (1 << bits - 1) - 1])
    if signed and random.random() < 0.5:
        return random.choice([-value, -(1 << bits - 1)])
    return value if signed or random.random() < 0.8 else (1 << bits) - 1


def text():
    return "".join(random.choice("aZ0 \n\0ßé☃𝄞") for _ in range(random.choice([0, 1, 5, 200])))


def blob():
    return os.urandom(0) + bytes(random.getrandbits(8) for _ in range(random.choice([0, 1, 5, 200])))


def real():
    return random.choice([0.0, -0.0, 1.5, -1e300, float("inf"), float("-inf"), random.random()])


def color():
    return random.choice([0, 1, -3, 77])


def inner(message):
    message.text = text()
    message.values.extend(number(64, True) for _ in range(random.randint(0, 3)))
    message.color = color()


def tree(message, depth):
    message.name = text()
    for _ in range(random.randint(0, 2) if depth else 0):
        tree(message.branches.add(), depth - 1)


def message():
    m = All()
    def sometimes(chance=0.5):
        return random.random() < chance
    for name, make in [
            ("a_double", real), ("an_int32", lambda: number(32, True)), ("an_int64", lambda: number(64, True)),
            ("a_uint32", lambda: number(32, False)), ("a_uint64", lambda: number(64, False)), ("a_sint32", lambda: number(32, True)),
            ("a_sint64", lambda: number(64, True)), ("a_fixed32", lambda: number(32, False)), ("a_fixed64", lambda: number(64, False)),
            ("a_sfixed32", lambda: number(32, True)), ("a_sfixed64", lambda: number(64, True)), ("a_bool", lambda: True),
            ("a_string", text), ("some_bytes", blob), ("color", color), ("maybe_int32", lambda: number(32, True)),
            ("maybe_string", text), ("maybe_bool", sometimes), ("maybe_color", color),
            ("a_float", lambda: struct.unpack("f", struct.pack("f", random.choice([0.0, -0.0, 2.5, 1e30])))[0])]:
        if sometimes():
            setattr(m, name, make())
    for name, make in [("int32s", lambda: number(32, True)), ("sint64s", lambda: number(64, True)), ("doubles", real),
                       ("bools", sometimes), ("strings", text), ("many_bytes", blob), ("colors", color),
                       ("loose", lambda: number(32, True))]:
        if sometimes():
            getattr(m, name).extend(make() for _ in range(random.randint(0, 4)))
    for name in ("inner", "nested"):
        if sometimes():
            inner(getattr(m, name))
            getattr(m, name).SetInParent()
    for _ in range(random.randint(0, 2)):
        inner(m.inners.add())
        m.numbers[text()] = number(64, True)
        m.names[number(32, True)] = text()
        inner(m.by_bool[sometimes()])
        tree(m.trees.add(), 3)
    if sometimes():
        setattr(m, *random.choice([("name", text()), ("number", number(64, False)), ("switch", sometimes())]))
    return m


def varint(value):
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def field(tag, wire, payload):
    return varint(tag << 3 | wire) + payload


def odd():
    """Forms that a proto3 writer does not have and a reader has to take."""
    return random.choice([
        lambda: field(30, 0, varint(random.getrandbits(31))),                        # a packed field, one by one
        lambda: field(38, 2, varint(2) + varint(5) + varint(6)),                     # a loose one, packed
        lambda: field(99, 0, varint(7)) + field(98, 2, varint(3) + b"abc"),          # unknown fields
        lambda: field(97, 1, b"12345678") + field(96, 5, b"1234"),
        lambda: field(14, 0, varint(9)),                                             # another wire type
        lambda: field(3, 0, varint((1 << 64) - 5)) + field(3, 0, varint(1 << 40)),   # twice; too large for its type
        lambda: field(17, 2, varint(3) + field(1, 2, varint(1) + b"x")),             # a message in two parts
        lambda: field(42, 2, varint(0)),                                             # an entry of a map without key and value
    ])()


def mangled(data):
    data = bytearray(data)
    for _ in range(random.randint(1, 4)):
        if not data:
            break
        place = random.randrange(len(data))
        action = random.randrange(4)
        if action == 0:
            data[place] = random.getrandbits(8)
        elif action == 1:
            del data[place:place + random.randint(1, 8)]
        elif action == 2:
            data[place:place] = bytes(random.getrandbits(8) for _ in range(random.randint(1, 4)))
        else:
            del data[place:]
    return bytes(data)


def records(path):
    with open(path, "rb") as file:
        data = file.read()
    place = 0
    while place < len(data):
        count = int.from_bytes(data[place:place + 4], "big")
        yield data[place + 4:place + 4 + count]
        place += 4 + count


def parsed(data):
    try:
        # It warns where a group ends that did not begin, and takes what came before: that is no message.
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return All.FromString(data)
    except (DecodeError, RuntimeWarning, SystemError):
        return None


def plain(value):
    """The known fields alone, as texts: a NaN is equal to itself then."""
    if hasattr(value, "ListFields"):
        return {field.name: plain(content) for field, content in value.ListFields()}
    if hasattr(value, "items"):
        return {str(key): plain(value[key]) for key in value}
    if hasattr(value, "append") or hasattr(value, "add"):
        return [plain(one) for one in value]
    return repr(value)


what = sys.argv[1]
if what == "make":
    random.seed(int(sys.argv[3]))
    with open(sys.argv[4], "wb") as file:
        for _ in range(int(sys.argv[2])):
            data = message().SerializeToString()
            if random.random() < 0.3:
                data += odd()
            if random.random() < 0.5:
                data = mangled(data)
            file.write(len(data).to_bytes(4, "big") + data)
elif what == "compare":
    # The second file has those alone that are messages.
    left, right = [data for data in records(sys.argv[2]) if parsed(data) is not None], list(records(sys.argv[3]))
    wrong = [pair for pair in zip(left, right) if plain(All.FromString(pair[0])) != plain(All.FromString(pair[1]))]
    for pair in wrong[:3]:
        print("different", pair[0].hex(), pair[1].hex())
    print(f"{len(left)} and {len(right)} messages, {len(wrong)} different")
elif what == "judge":
    verdicts = open(sys.argv[3], "rb").read()
    wrong = [(data, verdict) for data, verdict in zip(records(sys.argv[2]), verdicts) if (parsed(data) is not None) != (verdict == 1)]
    for data, verdict in wrong[:3]:
        print("judged", verdict, data.hex())
    print(f"{len(verdicts)} judged, {len(wrong)} otherwise")
