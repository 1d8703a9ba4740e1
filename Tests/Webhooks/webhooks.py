#!/usr/bin/env python3
"""Webhooks as their receivers see them, by Standard Webhooks 1.0: `v1` is checked by PyPI's standardwebhooks, `v1a` by OpenSSL.

    webhooks.py URL OPERATIONS_URL STREAMS_URL [CASE]

With ANNALS_WEBHOOKS_ALLOW_PRIVATE=false in the environment the cases are those of addresses that must not be reached. The receiver listens
on 127.0.0.1; ANNALS_WEBHOOKS_RETRIES says how often a message is sent again."""
import base64
import datetime
import http.server
import json
import os
import queue
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

from standardwebhooks import Webhook

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from API.messages import check_webhook  # noqa: E402
from Rig.cases import run  # noqa: E402

URL, OPERATIONS, STREAMS = sys.argv[1:4]
# Longer than anything takes on a busy machine.
TIMEOUT = 60
ALICE = [("X-Actor", "alice")]
CASES = []


def case(function):
    CASES.append(function)
    return function


def ask(method, path, body=None, headers=ALICE):
    request = urllib.request.Request((OPERATIONS if path.startswith("/admin/") else URL) + path, method=method, data=None if body is None else json.dumps(body).encode(),
                                     headers={"Content-Type": "application/json", **dict(headers)})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            text = answer.read()
            return answer.status, json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        text = error.read()
        return error.code, json.loads(text) if text else None


def good(method, path, body=None, headers=ALICE):
    status, answer = ask(method, path, body, headers)
    assert 200 <= status < 300, (method, path, status, answer)
    return answer


class Receiver:
    """A server that keeps what it gets and answers what it is told to."""

    def __init__(self):
        self.got = queue.Queue()
        # Decides on the answer: a status, or a status and headers.
        self.answer = lambda message: 200
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                message = {"headers": {k.lower(): v for k, v in self.headers.items()}, "body": body, "path": self.path,
                           "json": json.loads(body)}
                answer = receiver.answer(message)
                status, headers = answer if isinstance(answer, tuple) else (answer, {})
                message["status"] = status
                receiver.got.put(message)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"

    def next(self):
        return self.got.get(timeout=TIMEOUT)

    def register(self, selection=None, headers=ALICE):
        self.id = good("POST", "/webhooks", {"url": self.url, **({"selection": selection} if selection else {})}, headers)["id"]
        self.keys = good("GET", f"/webhooks/{self.id}/keys", headers=headers)["keys"]
        return self


def new(title="Lease", headers=ALICE):
    return good("POST", "/documents", {"title": title}, headers)["id"]


def rename(id, title, headers=ALICE):
    return good("PATCH", f"/documents/{id}", {"title": title}, headers)


def verify(message, keys):
    """Every signature is of one of the keys, and each key has made one of each kind."""
    headers, body = message["headers"], message["body"]
    kinds = [part.split(",", 1) for part in headers["webhook-signature"].split(" ")]
    assert sorted(kind for kind, _ in kinds) == ["v1"] * len(keys) + ["v1a"] * len(keys), kinds
    signed = f'{headers["webhook-id"]}.{headers["webhook-timestamp"]}.'.encode() + body
    for key in keys:
        assert key["secret"].startswith("whsec_") and key["public_key"].startswith("whpk_"), key
        Webhook(key["secret"]).verify(body, headers)
        assert any(verifies(key["public_key"], signed, signature) for kind, signature in kinds if kind == "v1a"), key


def verifies(public_key, signed, signature):
    """By OpenSSL: an Ed25519 key as RFC 8410 has it."""
    der = bytes.fromhex("302a300506032b6570032100") + base64.b64decode(public_key.removeprefix("whpk_"))
    with tempfile.TemporaryDirectory() as folder:
        def file(name, content):
            path = os.path.join(folder, name)
            with open(path, "wb") as opened:
                opened.write(content)
            return path
        pem = b"-----BEGIN PUBLIC KEY-----\n" + base64.b64encode(der) + b"\n-----END PUBLIC KEY-----\n"
        done = subprocess.run(
            ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", file("key", pem), "-rawin", "-in", file("text", signed), "-sigfile",
             file("signature", base64.b64decode(signature))], capture_output=True, timeout=TIMEOUT, check=False)
        return done.returncode == 0


def told(message):
    return message["json"]["type"], message["json"]["data"]["version"]


def wait_for(what, look):
    """Asks until it is so. Only the API can say."""
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        if value := look():
            return value
        time.sleep(0.1)
    raise AssertionError(f"not in time: {what}")


@case
def messages_are_signed_by_the_specification():
    hook = Receiver().register()
    id = new("Rent")
    rename(id, "Rent 2")
    good("POST", "/signatures", {"document_id": id, "signer_email": "a@example.com", "signer_name": "A", "signature_data": "eHg="})
    got = [hook.next() for _ in range(4)]
    assert [told(m) for m in got] == [
        ("document.created", 1), ("document.retitled", 2), ("signature.given", 3), ("document.signed", 3)], [told(m) for m in got]
    assert len({m["headers"]["webhook-id"] for m in got}) == 4
    for message in got:
        verify(message, hook.keys)
        assert not check_webhook(message["json"]), check_webhook(message["json"])
        assert abs(int(message["headers"]["webhook-timestamp"]) - time.time()) < 300
        assert "." not in message["headers"]["webhook-id"]
        datetime.datetime.fromisoformat(message["json"]["timestamp"].replace("Z", "+00:00"))
        data = message["json"]["data"]
        assert data["id"] == id and data["index"] >= 0 and data["event_id"], data
    assert got[2]["json"]["data"]["signer_email"] == "a@example.com"
    # A changed body, id or time is convicted.
    broken = dict(got[0], body=got[0]["body"].replace(b"Rent", b"Rant"))
    later = str(int(got[0]["headers"]["webhook-timestamp"]) + 1)
    for wrong in (broken, dict(got[0], headers={**got[0]["headers"], "webhook-id": "msg_x"}),
                  dict(got[0], headers={**got[0]["headers"], "webhook-timestamp": later})):
        try:
            verify(wrong, hook.keys)
        except Exception:  # pylint: disable=broad-except
            continue
        raise AssertionError("a message that was changed is taken for a good one")
    attempts = wait_for("attempts", lambda: (lambda found: found if len(found) == 4 else None)(
        good("GET", f"/webhooks/{hook.id}/attempts?document_id={id}")["attempts"]))
    assert [a["message_id"] for a in reversed(attempts)] == [m["headers"]["webhook-id"] for m in got], attempts
    assert all(a["status"] == 200 and a["problem"] is None and a["number"] == 1 for a in attempts)


@case
def a_failed_message_comes_again_and_those_behind_it_wait():
    hook = Receiver()
    failing = [503, 500]
    bad = []
    hook.answer = lambda m: failing.pop() if m["json"]["data"]["id"] in bad and failing else 200
    hook.register({"events": ["document.created", "document.retitled"]})
    first, other = new("First"), None
    assert told(hook.next()) == ("document.created", 1)
    bad.append(first)
    for number in range(3):
        rename(first, f"First {number}")
    other = new("Other")
    got = [hook.next() for _ in range(6)]
    own = [m for m in got if m["json"]["data"]["id"] == first]
    assert [(told(m)[1], m["status"]) for m in own] == [(2, 500), (2, 503), (2, 200), (3, 200), (4, 200)], [(told(m), m["status"]) for m in own]
    assert len({m["headers"]["webhook-id"] for m in own[:3]}) == 1
    assert other in [m["json"]["data"]["id"] for m in got]
    for message in own:
        verify(message, hook.keys)


@case
def retry_after_is_waited_for():
    hook = Receiver()
    answers = [(503, {"Retry-After": "2"})]
    hook.answer = lambda m: answers.pop() if answers else 200
    hook.register()
    new()
    first, second = hook.next(), hook.next()
    assert (first["status"], second["status"]) == (503, 200)
    attempts = wait_for("both", lambda: (lambda found: found if len(found) == 2 else None)(good("GET", f"/webhooks/{hook.id}/attempts")["attempts"]))
    times = [datetime.datetime.fromisoformat(a["at"].replace("Z", "+00:00")) for a in reversed(attempts)]
    # Without it the next attempt would have come after a tenth of a second.
    assert (times[1] - times[0]).total_seconds() >= 2, times


@case
def what_is_never_taken_is_parked_and_goes_on_when_told():
    hook = Receiver()
    takes = threading.Event()
    hook.answer = lambda m: 200 if takes.is_set() else 500
    hook.register()
    id = new()
    rename(id, "Second")
    attempts = 1 + len(os.environ["ANNALS_WEBHOOKS_RETRIES"].split(","))
    for _ in range(attempts):
        assert told(hook.next()) == ("document.created", 1)
    parked = wait_for("it is parked", lambda: good("GET", f"/webhooks/{hook.id}/parked")["parked"])
    assert [(p["document_id"], p["version"], p["attempts"]) for p in parked] == [(id, 1, attempts)], parked
    assert parked[0]["problem"] == "it answered 500"
    # A new event of the document waits with it.
    rename(id, "Third")
    assert ask("POST", f"/webhooks/{hook.id}/parked/{hook.id}/retry")[0] == 404
    takes.set()
    good("POST", f"/webhooks/{hook.id}/parked/{id}/skip")
    assert [told(hook.next()) for _ in range(2)] == [("document.retitled", 2), ("document.retitled", 3)]
    wait_for("nothing is parked", lambda: good("GET", f"/webhooks/{hook.id}")["parked"] == 0)


@case
def gone_disables_and_enabling_goes_on():
    hook = Receiver()
    hook.answer = lambda m: 410
    hook.register()
    id = new()
    hook.next()
    shown = wait_for("it is disabled", lambda: (lambda w: None if w["enabled"] else w)(good("GET", f"/webhooks/{hook.id}")))
    assert shown["disabled"] == "it answered 410 Gone", shown
    assert ask("POST", f"/webhooks/{hook.id}/replay", {"from_index": 0})[0] == 409
    hook.answer = lambda m: 200
    good("PATCH", f"/webhooks/{hook.id}", {"enabled": True})
    again = hook.next()
    assert again["json"]["data"]["id"] == id and told(again) == ("document.created", 1)


@case
def redirects_are_not_followed():
    hook, other = Receiver(), Receiver()
    hook.answer = lambda m: (302, {"Location": other.url})
    hook.register()
    answer = good("POST", f"/webhooks/{hook.id}/test")
    assert answer["status"] == 302 and not answer["delivered"] and "redirects are not followed" in answer["problem"], answer
    assert hook.next()["json"]["type"] == "webhook.test" and other.got.empty()


@case
def two_keys_sign_while_one_is_changed_for_the_other():
    hook = Receiver().register()
    good("POST", f"/webhooks/{hook.id}/test")
    verify(hook.next(), hook.keys)
    both = good("POST", f"/webhooks/{hook.id}/keys", {})["keys"]
    assert [k["number"] for k in both] == [2, 1] and both[1]["until"] and both[1]["secret"] == hook.keys[0]["secret"], both
    good("POST", f"/webhooks/{hook.id}/test")
    verify(hook.next(), both)
    only = good("POST", f"/webhooks/{hook.id}/keys", {"old_key_hours": 0})["keys"]
    assert [k["number"] for k in only] == [3] and only[0]["secret"] not in [k["secret"] for k in both], only
    good("POST", f"/webhooks/{hook.id}/test")
    verify(hook.next(), only)
    # No key is in the log, as it is read by whoever may read all of it.
    with urllib.request.urlopen(urllib.request.Request(STREAMS + "/events?category=webhook_list&last_event_id=9-" + hook.id,
                                                       headers=dict(ALICE)), timeout=TIMEOUT) as stream:
        log = b""
        while b"WebhookKeyRotated" not in log or log.count(b"WebhookKeyRotated") < 2:
            log += stream.readline()
    for key in both + only:
        for part in (key["secret"], key["public_key"]):
            assert part.split("_", 1)[1].encode() not in log, key
    assert hook.url.encode() not in log


@case
def it_is_told_of_what_it_has_chosen():
    one, two = new("One"), new("Two")
    hook = Receiver().register({"events": ["document.retitled", "document.viewed"], "documents": [one], "tag": "new"})
    rename(two, "Two b")
    rename(one, "One b")
    good("PATCH", f"/documents/{one}", {"tags": ["new"]})
    good("PATCH", f"/documents/{one}", {"status": "viewed"})
    rename(one, "One c")
    assert [told(hook.next()) for _ in range(2)] == [("document.viewed", 4), ("document.retitled", 5)]
    good("PATCH", f"/webhooks/{hook.id}", {"selection": {"documents": [two]}})
    rename(two, "Two c")
    got = hook.next()
    assert told(got) == ("document.retitled", 3) and got["json"]["data"]["title"] == "Two c"


@case
def a_range_is_sent_once_more():
    hook = Receiver().register()
    id = new()
    for number in range(3):
        rename(id, f"Title {number}")
    first = [hook.next() for _ in range(4)]
    start = first[1]["json"]["data"]["index"]
    answer = good("POST", f"/webhooks/{hook.id}/replay", {"from_index": start, "before_index": start + 2})
    assert answer == {"from_index": start, "before_index": start + 2}, answer
    again = [hook.next() for _ in range(2)]
    assert [m["headers"]["webhook-id"] for m in again] == [m["headers"]["webhook-id"] for m in first[1:3]]
    for message in again:
        verify(message, hook.keys)
    # By time: everything of the last minutes.
    now = datetime.datetime.now(datetime.timezone.utc)
    wait_for("the replay before is done", lambda: ask(
        "POST", f"/webhooks/{hook.id}/replay", {"from": (now - datetime.timedelta(minutes=5)).isoformat()})[0] == 202)
    seen = []
    while len(seen) < 4:
        message = hook.next()
        if message["json"]["data"]["id"] == id:
            seen.append(told(message)[1])
    assert seen == [1, 2, 3, 4], seen
    assert ask("POST", f"/webhooks/{hook.id}/replay", {"from_index": 5, "before_index": 5})[0] == 422
    assert ask("POST", f"/webhooks/{hook.id}/replay", {})[0] == 422


@case
def its_owner_is_told_of_what_he_may_see():
    def person(name):
        token = good("GET", f"/auth/token?user_id={name}&email={name}@example.com")["access_token"]
        return [("Authorization", f"Bearer {token}")]
    alice, bob = person("anna"), person("bob")
    hook = Receiver().register(headers=bob)
    secret = new("Secret", alice)
    own = new("Own", bob)
    first = hook.next()
    assert first["json"]["data"]["id"] == own and first["json"]["data"]["actor"] == "bob", first["json"]
    good("PUT", f"/documents/{secret}/shares/user:bob", {"rights": ["view"]}, alice)
    rename(secret, "Secret 2", alice)
    got = [hook.next() for _ in range(2)]
    assert [told(m) for m in got] == [("document.shared", 2), ("document.retitled", 3)], [told(m) for m in got]
    # Who did it is for those who may see its history.
    assert all("actor" not in m["json"]["data"] for m in got)
    for path in ("", "/keys", "/attempts", "/parked"):
        assert ask("GET", f"/webhooks/{hook.id}{path}", headers=alice)[0] == 404
    assert ask("DELETE", f"/webhooks/{hook.id}", headers=alice)[0] == 404
    assert good("GET", "/webhooks", headers=alice)["webhooks"] == []
    good("DELETE", f"/webhooks/{hook.id}", headers=bob)
    assert ask("GET", f"/webhooks/{hook.id}", headers=bob)[0] == 404


@case
def an_event_is_judged_by_the_rights_of_its_moment():
    """It was shared then; that it is not any more when the receiver answers again changes nothing."""
    hook = Receiver()
    refusing = threading.Event()
    refusing.set()
    hook.answer = lambda m: 500 if refusing.is_set() else 200
    bob = [("Authorization", "Bearer " + good("GET", "/auth/token?user_id=bob2&email=bob2@example.com")["access_token"])]
    anna = [("Authorization", "Bearer " + good("GET", "/auth/token?user_id=anna2&email=anna2@example.com")["access_token"])]
    hook.register(headers=bob)
    id = new("Shared for a while", anna)
    until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=2)
    good("PUT", f"/documents/{id}/shares/user:bob2", {"rights": ["view"], "until": until.isoformat().replace("+00:00", "Z")}, anna)
    first = hook.next()
    assert told(first) == ("document.shared", 2), first["json"]
    wait_for("it is parked", lambda: good("GET", f"/webhooks/{hook.id}/parked", headers=bob)["parked"])
    while datetime.datetime.now(datetime.timezone.utc) < until:
        time.sleep(0.1)
    assert ask("GET", f"/documents/{id}", headers=bob)[0] == 404
    refusing.clear()
    while not hook.got.empty():
        hook.got.get()
    good("POST", f"/webhooks/{hook.id}/parked/{id}/retry", headers=bob)
    assert hook.next()["headers"]["webhook-id"] == first["headers"]["webhook-id"]
    # What he may not see any more is not sent once more.
    good("POST", f"/webhooks/{hook.id}/replay", {"from_index": 0}, bob)
    own = new("Own", bob)
    assert hook.next()["json"]["data"]["id"] == own


@case
def hostile_answers_are_bounded():
    def serve(answer):
        listener = socket.create_server(("127.0.0.1", 0))

        def run_once():
            try:
                while True:
                    connection, _ = listener.accept()
                    connection.recv(65536)
                    answer(connection)
                    connection.close()
            except OSError:
                pass
        threading.Thread(target=run_once, daemon=True).start()
        return good("POST", "/webhooks", {"url": f"http://127.0.0.1:{listener.getsockname()[1]}/", "selection": {"tag": "none"}})["id"]

    def trailers(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
        connection.sendall(b"a: b\r\n" * 100_000)
    answer = good("POST", f"/webhooks/{serve(trailers)}/test")
    assert not answer["delivered"] and "bytes of headers" in answer["problem"], answer

    def endless(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)
    answer = good("POST", f"/webhooks/{serve(endless)}/test")
    assert not answer["delivered"] and "more than 1048576 bytes" in answer["problem"], answer

    def packed(connection):
        body = b"this is no zstd, and nobody asks"
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate, zstd, zstd\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    assert good("POST", f"/webhooks/{serve(packed)}/test")["delivered"]


@case
def operators_see_and_disable_everybodys():
    hook = Receiver().register()
    mine = wait_for("it is listed", lambda: [w for w in good("GET", "/admin/webhooks")["webhooks"] if w["id"] == hook.id])
    assert mine[0]["owner"] == "alice" and mine[0]["host"] + "/hook" == hook.url and mine[0]["disabled"] is None, mine
    good("POST", f"/admin/webhooks/{hook.id}/disable")
    shown = good("GET", f"/webhooks/{hook.id}")
    assert not shown["enabled"] and shown["disabled"] == "an operator has disabled it", shown


@case
def bad_requests_name_what_is_wrong():
    for body, field in (
            ({}, "/url"), ({"url": "ftp://example.com"}, "/url"), ({"url": "https://a:b@example.com"}, "/url"), ({"url": "https://"}, "/url"),
            ({"url": "https://example.com/#x"}, "/url"), ({"url": "https://example.com/" + "x" * 2000}, "/url"),
            ({"url": "https://example.com/\r\nX: y"}, "/url"),
            ({"url": "https://example.com", "selection": {"events": ["document.exploded"]}}, "/selection/events/0"),
            ({"url": "https://example.com", "selection": {"documents": ["x"]}}, "/selection/documents/0"),
            ({"url": "https://example.com", "selection": {"color": "red"}}, "/selection/color"),
            ({"url": "https://example.com", "colour": 1}, "/colour")):
        status, answer = ask("POST", "/webhooks", body)
        assert status == 422 and answer["field"] == field, (body, status, answer)


PRIVATE = []


def private(function):
    PRIVATE.append(function)
    return function


@private
def addresses_of_no_public_network_are_refused():
    for host in ("127.0.0.1", "[::1]", "2130706433", "0x7f.1", "017700000001", "127.1", "169.254.169.254", "[fe80::1]", "10.1.2.3",
                 "192.168.0.1", "172.31.255.255", "100.64.0.1", "0.0.0.0", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]",
                 "[2002:7f00:1::]", "[fd00::1]", "224.0.0.1", "255.255.255.255"):
        status, answer = ask("POST", "/webhooks", {"url": f"https://{host}/hook"})
        assert status == 422 and answer["field"] == "/url" and "public internet" in answer["detail"], (host, status, answer)
    status, answer = ask("POST", "/webhooks", {"url": "http://example.com/hook"})
    assert status == 422 and "https://" in answer["detail"], answer


@private
def a_name_is_judged_by_the_address_that_it_has_at_the_connection():
    """Whatever a name server said before: the address is looked at right before the connection, so a second answer does not help."""
    receiver = Receiver()
    hook = good("POST", "/webhooks", {"url": f"https://localhost:{receiver.server.server_port}/hook"})
    answer = good("POST", f"/webhooks/{hook['id']}/test")
    assert answer["status"] is None and "leads to no address of the public internet" in answer["problem"], answer
    # A name that there is not gets the same words.
    other = good("POST", "/webhooks", {"url": "https://there-is-no-such-name.invalid/"})
    assert good("POST", f"/webhooks/{other['id']}/test")["problem"] == answer["problem"]
    new()
    attempts = wait_for("an attempt", lambda: good("GET", f"/webhooks/{hook['id']}/attempts")["attempts"])
    assert "leads to no address of the public internet" in attempts[0]["problem"], attempts
    assert receiver.got.empty()


run(PRIVATE if os.environ.get("ANNALS_WEBHOOKS_ALLOW_PRIVATE") == "false" else CASES, sys.argv[4] if len(sys.argv) > 4 else "")
