#!/usr/bin/python3
"""Sockets of a running Annals as clients see them: what they tell, how they resume and end, and RFC 6455 frame by frame.

    sockets.py URL SOCKETS_URL OPERATIONS_URL [CASE]

URL is where documents are, SOCKETS_URL and OPERATIONS_URL where sockets are: the same, where it is one process.

Each case prints a line; the last one says how many held. wsproto is the other side where it can be; what it refuses to send is
written byte by byte. The families are those of Autobahn's test suite, whose program needs Python 2."""
import json
import os
import socket
import struct
import sys
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from wsproto import ConnectionType, WSConnection
from wsproto.events import (AcceptConnection, BytesMessage, CloseConnection, Ping, Pong, RejectConnection, Request, TextMessage)

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from Rig.cases import run  # noqa: E402

URL, SOCKETS, OPERATIONS = sys.argv[1:4]
HOST, PORT = urlsplit(SOCKETS).hostname, urlsplit(SOCKETS).port
TIMEOUT = 30


def at(path):
    """Who answers: signatures may be a process of their own."""
    return os.environ.get("SIGNATURES_URL", URL) if path.startswith("/signatures") else SOCKETS if path.startswith("/ws/") else URL


def ask(method, path, body=None, headers=()):
    request = urllib.request.Request(at(path) + path, method=method, data=None if body is None else json.dumps(body).encode(),
                                     headers={"Content-Type": "application/json", "X-Actor": "alice", **dict(headers)})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null")


def closed(code):
    """How many sockets the server has closed with a code."""
    text = urllib.request.urlopen(OPERATIONS + "/metrics", timeout=TIMEOUT).read().decode()
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(f'annals_sockets_closed_total{{code="{code}"}}'))


def document(title="Lease"):
    status, row = ask("POST", "/documents", {"title": title})
    assert status == 201, row
    return row["id"]


def change(id, **body):
    status, row = ask("PATCH", f"/documents/{id}", body)
    assert status == 200, row
    return row["version"]


class Socket:
    """A client's end: wsproto above a plain socket."""

    def __init__(self, path, token=None):
        self.raw = socket.create_connection((HOST, PORT), timeout=TIMEOUT)
        self.ws = WSConnection(ConnectionType.CLIENT)
        self.events, self.rejected, self.ended = [], None, False
        self.raw.sendall(self.ws.send(Request(host=f"{HOST}:{PORT}", target=path)))
        while not self.rejected and not self.take(AcceptConnection):
            self.receive()

    def receive(self):
        data = self.raw.recv(65536)
        self.ws.receive_data(data or None)
        for event in self.ws.events():
            if isinstance(event, RejectConnection):
                self.rejected = event
            if isinstance(event, Ping):
                self.raw.sendall(self.ws.send(event.response()))
            self.events.append(event)
        if not data:
            self.ended = True

    def take(self, kind):
        for index, event in enumerate(self.events):
            if isinstance(event, kind):
                return self.events.pop(index)
        return None

    def next(self, kind=TextMessage):
        """The next event of a kind; None if the connection has ended."""
        while True:
            event = self.take(kind)
            if event or self.ended:
                return event
            self.receive()

    def message(self):
        text = ""
        while True:
            event = self.next()
            if event is None:
                return None
            text += event.data
            if event.message_finished:
                return json.loads(text)

    def send(self, event):
        self.raw.sendall(self.ws.send(event))

    def close(self):
        self.raw.close()


class Raw:
    """A socket after its handshake, for frames that no library sends."""

    def __init__(self, path, extra=b""):
        self.raw = socket.create_connection((HOST, PORT), timeout=TIMEOUT)
        self.raw.sendall((f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
                          "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").encode() + extra)
        self.buffer = b""
        while b"\r\n\r\n" not in self.buffer:
            self.read()
        self.head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)

    def read(self):
        data = self.raw.recv(65536)
        if not data:
            raise EOFError
        self.buffer += data

    def send(self, *frames):
        self.raw.sendall(b"".join(frames))

    def frame(self):
        """(fin and opcode, payload) of the next frame; None at the end."""
        try:
            while len(self.buffer) < 2:
                self.read()
            length, offset = self.buffer[1] & 0x7F, 2
            assert not self.buffer[1] & 0x80, "a server's frame is masked"
            if length >= 126:
                offset = 4 if length == 126 else 10
                while len(self.buffer) < offset:
                    self.read()
                length = int.from_bytes(self.buffer[2:offset], "big")
            while len(self.buffer) < offset + length:
                self.read()
        except (EOFError, ConnectionResetError):
            return None
        first, payload = self.buffer[0], self.buffer[offset:offset + length]
        self.buffer = self.buffer[offset + length:]
        return first, payload

    def code(self):
        """The code of the close that comes; None: the connection ended without one."""
        while True:
            frame = self.frame()
            if frame is None:
                return None
            if frame[0] == 0x88:
                return struct.unpack(">H", frame[1][:2])[0] if frame[1] else 1005


def frame(first, payload=b"", mask=b"\x01\x02\x03\x04", length=None):
    size = len(payload) if length is None else length
    head = bytes([first])
    bit = 0x80 if mask is not None else 0
    if size < 126:
        head += bytes([bit | size])
    elif size < 65536:
        head += bytes([bit | 126]) + struct.pack(">H", size)
    else:
        head += bytes([bit | 127]) + struct.pack(">Q", size)
    if mask is None:
        return head + payload
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


CASES = []


def case(function):
    CASES.append(function)
    return function


# What it tells.

@case
def tells_of_each_change_once_and_in_order():
    id = document("Sales Agreement Q4 2025")
    ws = Socket(f"/ws/{id}")
    change(id, status="pending")
    change(id, status="viewed")
    change(id, title="New")
    status, _ = ask("POST", "/signatures", {"document_id": id, "signer_email": "a@b.de", "signer_name": "A", "signature_data": "aGk="})
    assert status == 201
    messages = [ws.message() for _ in range(5)]
    assert [m["type"] for m in messages] == ["document.pending", "document.viewed", "document.retitled", "signature.given", "document.signed"], messages
    viewed = messages[1]
    assert viewed["data"] == {"id": id, "title": "Sales Agreement Q4 2025", "old_status": "pending", "new_status": "viewed", "version": 3,
                              "actor": "alice"}, viewed
    assert abs(viewed["timestamp"] / 1000 - time.time()) < 60
    ws.close()


@case
def resumes_from_a_version_and_from_a_cursor_without_gap_or_double():
    id = document()
    for number in range(20):
        change(id, title=f"title {number}")
    ws = Socket(f"/ws/{id}?from_version=1")
    first = [ws.message() for _ in range(10)]
    assert [m["data"]["version"] for m in first] == list(range(2, 12))
    ws.close()
    change(id, title="while away")
    ws = Socket(f"/ws/{id}?from={first[-1]['cursor']}")
    rest = [ws.message() for _ in range(11)]
    change(id, title="while here")
    rest.append(ws.message())
    assert [m["data"]["version"] for m in rest] == list(range(12, 24)), rest
    ws.close()
    assert [Socket(f"/ws/{id}?from_version=0").message()["type"]] == ["document.created"]


@case
def refuses_before_the_upgrade():
    id = document()
    for path, status in ((f"/ws/{id}?from_version=7", 409), (f"/ws/{id}?from=1-01890a5d-ac96-774b-bcce-b302099a8057", 409),
                         (f"/ws/{id}?from=x", 400), ("/ws/01890a5d-ac96-774b-bcce-b302099a8057", 404), ("/ws/x", 400),
                         (f"/ws/{id}?token=nonsense", 401)):
        ws = Socket(path)
        assert ws.rejected and ws.rejected.status_code == status, (path, ws.rejected)
    assert ask("GET", f"/ws/{id}")[0] == 426
    for header, value, status in (("Sec-WebSocket-Version", "8", 426), ("Sec-WebSocket-Key", "short", 400), ("Upgrade", "h2c", 426)):
        headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
                   "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", header: value}
        raw = socket.create_connection((HOST, PORT), timeout=TIMEOUT)
        lines = "".join(f"{name}: {text}\r\n" for name, text in headers.items())
        raw.sendall(f"GET /ws/{id} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())
        assert raw.recv(4096).startswith(f"HTTP/1.1 {status} ".encode()), (header, value)


@case
def takes_a_token_from_the_query():
    status, token = ask("GET", "/auth/token?user_id=u123&email=user@test.com")
    assert status == 200 and token["token_type"] == "bearer" and token["user_id"] == "u123" and token["email"] == "user@test.com"
    bearer = [("Authorization", "Bearer " + token["access_token"]), ("X-Actor", "u123")]
    status, row = ask("POST", "/documents", {"title": "Mine"}, bearer)
    assert status == 201 and row["created_by"] == "u123", row
    ws = Socket(f"/ws/{row['id']}?token={token['access_token']}")
    change(row["id"], status="viewed")
    assert ws.message()["type"] == "document.viewed"
    ws.close()
    assert Socket(f"/ws/{document()}?token={token['access_token']}").rejected.status_code == 404


@case
def ends_when_the_document_is_not_shared_any_more():
    token = ask("GET", "/auth/token?user_id=jane&email=jane@test.com")[1]["access_token"]
    id = document()
    share = f"/documents/{id}/shares/user:jane"
    assert ask("PUT", share, {"rights": ["view"]})[0] == 200
    ws = Socket(f"/ws/{id}?token={token}")
    change(id, title="seen")
    assert ws.message()["data"]["title"] == "seen"
    assert ask("DELETE", share)[0] == 200
    change(id, title="not seen")
    assert ws.next(CloseConnection).code == 4003
    assert not ws.take(TextMessage)


@case
def closes_a_reader_that_is_too_slow_and_says_where_to_go_on():
    id = document()
    for number in range(400):
        change(id, title=f"{number} " + "x" * 1900)
    before = closed(4008)
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.settimeout(TIMEOUT)
    raw.connect((HOST, PORT))
    raw.sendall((f"GET /ws/{id}?from_version=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").encode())
    deadline = time.monotonic() + 60
    while closed(4008) == before:
        assert time.monotonic() < deadline, "it is not closed"
        time.sleep(0.1)
    # It reads nothing until now: what was on its way comes, then the close.
    data = b""
    while True:
        try:
            piece = raw.recv(1 << 20)
        except ConnectionResetError:
            break
        if not piece:
            break
        data += piece
    assert b"too slow: connect again with from=" in data[-200:], data[-200:]
    cursor = data[-200:].split(b"from=")[1].decode()
    # The last message that came is the one that it names: nothing is left out.
    assert data.rindex(b'"cursor":"') == data.rindex(b'"cursor":"' + cursor.encode()), cursor
    ws = Socket(f"/ws/{id}?from={cursor}")
    assert ws.message()["data"]["version"] == int(cursor.split("-")[0]) + 1
    ws.close()


# RFC 6455, by Autobahn's families.

def open_raw(extra=b""):
    return Raw(f"/ws/{document()}", extra)


@case
def handshake():
    raw = open_raw()
    assert raw.head.startswith(b"HTTP/1.1 101 ")
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in raw.head  # of RFC 6455, section 1.3
    assert b"extensions" not in raw.head.lower()


@case
def family_1_framing_of_all_lengths():
    for first in (0x81, 0x82):
        for size in (0, 1, 125, 126, 127, 128, 65535, 65536):
            raw = open_raw()
            raw.send(frame(first, b"*" * size), frame(0x89, b"after"))
            assert raw.frame() == (0x8A, b"after"), (first, size)


@case
def family_1_byte_by_byte():
    raw = open_raw()
    for byte in frame(0x81, b"slow") + frame(0x89, b"p"):
        raw.send(bytes([byte]))
        time.sleep(0.002)
    assert raw.frame() == (0x8A, b"p")


@case
def family_2_pings_and_pongs():
    for payload in (b"", b"Hello", b"\x00\xff\xfe", b"x" * 125):
        raw = open_raw()
        raw.send(frame(0x89, payload))
        assert raw.frame() == (0x8A, payload)
    raw = open_raw()
    raw.send(*(frame(0x89, str(number).encode()) for number in range(10)))
    assert [raw.frame() for _ in range(10)] == [(0x8A, str(number).encode()) for number in range(10)]
    raw.send(frame(0x8A, b"unasked"), frame(0x89, b"x"))
    assert raw.frame() == (0x8A, b"x")
    raw = open_raw()
    raw.send(frame(0x89, b"x" * 126))
    assert raw.code() == 1002


@case
def family_3_reserved_bits():
    for bit in (0x40, 0x20, 0x10):
        for first in (0x81, 0x89, 0x88):
            raw = open_raw()
            raw.send(frame(first | bit, b""))
            assert raw.code() in (1002, None), hex(first | bit)


@case
def family_4_reserved_opcodes():
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        raw = open_raw()
        raw.send(frame(0x80 | opcode, b"x"))
        assert raw.code() in (1002, None), opcode


@case
def family_5_fragments():
    raw = open_raw()
    raw.send(frame(0x01, b"a"), frame(0x89, b"between"), frame(0x00, b"b"), frame(0x80, b"c"), frame(0x89, b"end"))
    assert raw.frame() == (0x8A, b"between") and raw.frame() == (0x8A, b"end")
    for wrong in ((frame(0x80, b"x"),), (frame(0x00, b"x"),), (frame(0x01, b"x"), frame(0x81, b"y")), (frame(0x09, b"p"),),
                  (frame(0x08, b""),)):
        raw = open_raw()
        raw.send(*wrong)
        assert raw.code() in (1002, None), wrong


@case
def family_6_utf_8():
    good = "κόσμε \U0010ffff ﷐".encode()
    raw = open_raw()
    raw.send(frame(0x81, good), *(frame(0x01 if index == 0 else 0x00, bytes([byte])) for index, byte in enumerate(good)), frame(0x80),
             frame(0x89, b"x"))
    assert raw.frame() == (0x8A, b"x")
    for bad in (b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xce\xba\xe1", b"\x80"):
        raw = open_raw()
        raw.send(frame(0x81, bad))
        assert raw.code() == 1007, bad
        raw = open_raw()
        raw.send(frame(0x01, bad[:1]), frame(0x80, bad[1:]))
        assert raw.code() == 1007, bad


@case
def family_7_closes():
    for payload, code in ((b"", 1005), (struct.pack(">H", 1000), 1000), (struct.pack(">H", 1000) + b"bye", 1000),
                          (struct.pack(">H", 3000), 3000), (struct.pack(">H", 4999), 4999)):
        raw = open_raw()
        raw.send(frame(0x88, payload))
        assert raw.code() == code, payload
        assert raw.frame() is None
    for payload in (b"x", struct.pack(">H", 999), struct.pack(">H", 1004), struct.pack(">H", 1005), struct.pack(">H", 1006),
                    struct.pack(">H", 1016), struct.pack(">H", 2999), struct.pack(">H", 5000)):
        raw = open_raw()
        raw.send(frame(0x88, payload))
        code = raw.code()
        assert code in (1002, None), (payload, code)
    raw = open_raw()
    raw.send(frame(0x88, struct.pack(">H", 1000) + b"\xff"))
    assert raw.code() in (1002, 1007, None)
    raw = open_raw()
    raw.send(frame(0x88, struct.pack(">H", 1000) + b"x" * 124))
    assert raw.code() in (1002, None)
    raw = open_raw()
    raw.send(frame(0x88, struct.pack(">H", 1000)), frame(0x89, b"after"))
    assert raw.code() == 1000 and raw.frame() is None


@case
def what_saved_searches_find():
    word = f"zebra{os.getpid()}"
    status, search = ask("POST", "/saved-searches", {"name": "Zebras", "query": {"q": word}}, {"X-Actor": "anonymous"})
    assert status == 201, search
    ws = Socket("/ws/searches")
    assert ws.message()["type"] == "searches.listening"
    first, other = document(f"{word} one"), document("nothing of the kind")
    message = ws.message()
    assert message["type"] == "search.hit" and message["data"]["search_id"] == search["id"], message
    assert message["data"]["document_id"] == first and message["data"]["title"] == f"{word} one", message
    ws.close()
    second = document(f"{word} two")
    ws = Socket("/ws/searches?from=" + message["cursor"])
    assert ws.message()["cursor"] == message["cursor"]
    assert ws.message()["data"]["document_id"] == second
    assert Socket("/ws/searches?from=1-" + "0" * 8 + "-0000-0000-0000-" + "0" * 12).rejected.status_code == 409


@case
def family_9_limits():
    raw = open_raw()
    raw.send(frame(0x81, b"x" * (64 << 10)), frame(0x89, b"ok"))
    assert raw.frame() == (0x8A, b"ok")
    for size in ((64 << 10) + 1, 1 << 40):
        raw = open_raw()
        raw.send(frame(0x82, b"x", length=size))
        assert raw.code() in (1009, None), size
    raw = open_raw()
    for _ in range(70):
        try:
            raw.send(frame(0x02 if _ == 0 else 0x00, b"x" * 1024))
        except OSError:
            break
    assert raw.code() in (1009, None)


@case
def unmasked_frames_are_refused():
    raw = open_raw()
    raw.send(frame(0x81, b"x", mask=None))
    assert raw.code() in (1002, None)


@case
def frames_behind_the_handshake_are_read():
    raw = open_raw(frame(0x89, b"early"))
    assert raw.frame() == (0x8A, b"early")


@case
def families_12_and_13_compression_is_not_agreed_to():
    raw = socket.create_connection((HOST, PORT), timeout=TIMEOUT)
    raw.sendall((f"GET /ws/{document()} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                 "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
                 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").encode())
    head = raw.recv(4096)
    assert head.startswith(b"HTTP/1.1 101 ") and b"deflate" not in head


run(CASES, sys.argv[4] if len(sys.argv) > 4 else "")
