#!/usr/bin/env python3
"""Traces of a running Annals: what a collector got of them (Tests/Rig/otlp.py has printed it to a file), what Kafka's messages carry, what
`annals trace` and GET /events/{event}/where show.

    traces.py URL STREAMS_URL COLLECTED BROKERS TOPIC BINARY

The collector refuses the first request with 503. ANNALS_TRACING_SAMPLE is 0: only what is asked for is traced."""
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from Rig.cases import run  # noqa: E402

URL, STREAMS, COLLECTED, BROKERS, TOPIC, BINARY = sys.argv[1:7]
TIMEOUT = 60


def ask(method, path, body=None, headers=()):
    request = urllib.request.Request(URL + path, method=method, data=None if body is None else json.dumps(body).encode(),
                                     headers={"Content-Type": "application/json", "X-Actor": "alice", **dict(headers)})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            text = answer.read()
            return answer.status, json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null")


def good(*arguments, **options):
    status, answer = ask(*arguments, **options)
    assert 200 <= status < 300, (arguments, status, answer)
    return answer


def spans(trace):
    with open(COLLECTED, encoding="utf-8") as file:
        return [span for span in map(json.loads, file) if span["trace"] == trace]


def wait_for(what, look):
    """Asks until it is so. Only the servers can say."""
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        if value := look():
            return value
        time.sleep(0.1)
    raise AssertionError(f"not in time: {what}")


class Receiver:
    def __init__(self):
        self.traces = []
        traces = self.traces

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                traces.append(self.headers["traceparent"])
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


TRACE, OUTER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def a_write_is_followed_to_its_last_reader():
    receiver = Receiver()
    hook = good("POST", "/webhooks", {"url": f"http://127.0.0.1:{receiver.server.server_port}/"})["id"]
    id = good("POST", "/documents", {"title": "One"})["id"]
    # Somebody listens.
    host, port = STREAMS.removeprefix("http://").split(":")
    listener = socket.create_connection((host, int(port)), timeout=TIMEOUT)
    listener.sendall(f"GET /documents/{id}/events HTTP/1.1\r\nHost: x\r\nX-Actor: bob\r\n\r\n".encode())
    head = listener.recv(65536)
    assert head.startswith(b"HTTP/1.1 200"), head
    good("PATCH", f"/documents/{id}", {"title": "Two"}, headers=[("traceparent", f"00-{TRACE}-{OUTER}-01")])

    def names():
        return {span["name"].replace(TOPIC, "TOPIC") for span in spans(TRACE)}
    expected = {"PATCH /documents/{id}", "append", "send TOPIC", "process TOPIC", "POST", "send event stream"}
    wait_for(f"spans {expected - names()}", lambda: names() >= expected)
    found = {span["name"].replace(TOPIC, "TOPIC"): span for span in spans(TRACE)}
    server = found["PATCH /documents/{id}"]
    assert server["parent"] == OUTER and server["kind"] == "SPAN_KIND_SERVER", server
    assert server["attributes"]["http.response.status_code"] == 200 and server["attributes"]["http.route"] == "/documents/{id}", server
    assert server["resource"]["service.name"] == "annals" and server["scope"] == "annals", server
    for name in expected - {"PATCH /documents/{id}"}:
        assert found[name]["parent"] == server["span"], found[name]
    for span in found.values():
        assert span["begun"] <= span["ended"] and span["status"] == 0, span
    sent, processed = found["send TOPIC"]["attributes"], found["process TOPIC"]["attributes"]
    # OpenTelemetry's conventions for messaging.
    assert found["send TOPIC"]["kind"] == "SPAN_KIND_PRODUCER" and found["process TOPIC"]["kind"] == "SPAN_KIND_CONSUMER"
    for attributes, operation in ((sent, "send"), (processed, "process")):
        assert attributes["messaging.system"] == "kafka" and attributes["messaging.operation.type"] == operation, attributes
        assert attributes["messaging.operation.name"] == operation and attributes["messaging.destination.name"] == TOPIC, attributes
    assert processed["messaging.consumer.group.name"] and processed["messaging.destination.partition.id"].isdigit(), processed
    # What others get goes on with it.
    assert receiver.traces[-1] == f"00-{TRACE}-{found['POST']['span']}-01", receiver.traces
    assert receiver.traces[0] is None
    printed = subprocess.run(["kcat", "-b", BROKERS, "-C", "-t", TOPIC, "-e", "-q", "-m", "60", "-f", "%h\n"], capture_output=True, text=True,
                             check=True).stdout
    assert f"traceparent=00-{TRACE}-{server['span']}-01" in printed, printed

    # A refusal is no failure of the server.
    refused = TRACE.replace("4b", "7e")
    assert ask("PATCH", f"/documents/{id}", {"title": ""}, headers=[("traceparent", f"00-{refused}-{OUTER}-01")])[0] == 422
    span = wait_for("the refusal", lambda: spans(refused))[0]
    assert span["attributes"]["http.response.status_code"] == 422 and span["status"] == 0, span

    # The command, and the place of the event.
    def shown():
        done = subprocess.run([BINARY, "trace", id], capture_output=True, text=True, check=False)
        return done.stdout if done.returncode == 0 and "POST" in done.stdout and "send event stream" in done.stdout else None
    text = wait_for("annals trace shows all", shown)
    for part in (f"version 2, DocumentRetitled, trace {TRACE}", "PATCH /documents/{id}  (200)", "recorded by Postgres", f"send {TOPIC}",
                 "view document-cache", f"webhook {hook}", f"document {id}", "until the last step ended"):
        assert part in text, (part, text)
    event = next(e for e in good("GET", f"/documents/{id}/audit")["entries"] if e["version"] == 2)["event_id"]
    where = wait_for("it is everywhere", lambda: (lambda w: w if w["views"][0]["has"] and all(r["has_confirmed"] for r in w["relays"]) else None)(
        good("GET", f"/events/{event}/where")))
    assert where["trace_id"] == TRACE and where["version"] == 2 and where["outbox"]["kept"], where
    kafka = where["kafka"]
    assert (kafka["topic"], str(kafka["partition"]), kafka["offset"]) == (
        TOPIC, processed["messaging.destination.partition.id"], processed["messaging.kafka.offset"]), where
    assert [(a["webhook_id"], a["status"]) for a in where["webhooks"]] == [(hook, 200)], where
    assert any(step["name"] == "send event stream" and step["attributes"]["enduser.id"] == "bob" for step in where["steps"]), where
    assert ask("GET", f"/events/{id}/where")[0] == 404
    listener.close()


def what_nobody_wants_to_see_is_not_recorded():
    id = good("POST", "/documents", {"title": "Quiet"})["id"]
    other = TRACE.replace("4b", "5c")
    good("PATCH", f"/documents/{id}", {"title": "Quieter"}, headers=[("traceparent", f"00-{other}-{OUTER}-00")])
    # A later one that is wanted comes; the one before does not.
    marker = TRACE.replace("4b", "6d")
    good("PATCH", f"/documents/{id}", {"title": "Loud"}, headers=[("traceparent", f"00-{marker}-{OUTER}-01")])
    wait_for("the later one", lambda: any(span["name"].startswith("process") for span in spans(marker)))
    assert spans(other) == []
    done = subprocess.run([BINARY, "trace", id, "--version", "1"], capture_output=True, text=True, check=False)
    assert done.returncode == 64 and "was not traced" in done.stderr, done
    # It is passed on all the same: whoever reads the topic may be in that trace.
    printed = subprocess.run(["kcat", "-b", BROKERS, "-C", "-t", TOPIC, "-e", "-q", "-m", "60", "-f", "%h\n"], capture_output=True, text=True,
                             check=True).stdout
    assert f"traceparent=00-{other}-{OUTER}-00" in printed, printed


def topic():
    """Keys and headers of all messages."""
    return subprocess.run(["kcat", "-b", BROKERS, "-C", "-t", TOPIC, "-e", "-q", "-m", "60", "-f", "%k %h\n"], capture_output=True, text=True,
                          check=True).stdout


def malformed_parents_are_as_if_there_were_none():
    for wrong in ("", "00-x", f"00-{'0' * 32}-{OUTER}-01", f"00-{TRACE}-{'0' * 16}-01", f"ff-{TRACE}-{OUTER}-01", f"00-{TRACE.upper()}-{OUTER}-01",
                  f"00-{TRACE}-{OUTER}-01-more"):
        known = len(spans(TRACE))
        id = good("POST", "/documents", {"title": "X"}, headers=[("traceparent", wrong)])["id"]
        printed = wait_for("its message", lambda: [line for line in topic().splitlines() if f"document-{id}" in line or id in line])
        assert not any("traceparent" in line for line in printed), (wrong, printed)
        assert len(spans(TRACE)) == known, wrong


run([a_write_is_followed_to_its_last_reader, what_nobody_wants_to_see_is_not_recorded, malformed_parents_are_as_if_there_were_none],
    sys.argv[7] if len(sys.argv) > 7 else "")
