#!/usr/bin/python3
"""gRPC of a running Annals as clients see it, with Python's implementation on the other side.

    calls.py ADDRESS URL OPERATIONS_URL [CASE]

Each case prints a line; the last one says how many held. With ANNALS_AUTH_SECRET in the environment the server wants tokens, and
the one case that runs then compares who may call what with the routes; with ANNALS_HTTP_HANDLER_TIMEOUT it ends calls early, and with
ANNALS_LIMITS_REQUESTS it refuses some: one case sees that."""
import base64
import hashlib
import hmac
import importlib
import importlib.util
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

import grpc

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from Rig.cases import run  # noqa: E402

ADDRESS, URL, OPERATIONS = sys.argv[1:4]
# Longer than the server itself waits for a busy machine.
TIMEOUT = 90
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "Sources")
folder = tempfile.mkdtemp()
for protos in (f"{ROOT}/Services/RPC/Protos", f"{ROOT}/Platform/GRPC/Protos"):
    files = [os.path.relpath(os.path.join(path, name), protos) for path, _, names in os.walk(protos) for name in names]
    subprocess.run(["protoc", "-I", protos, f"--python_out={folder}", *files], check=True)
sys.path.append(folder)
document = importlib.import_module("document_pb2")


def module(name):
    """A generated module below grpc/ or google/, which are packages of others."""
    spec = importlib.util.spec_from_file_location(name.split("/")[-1], f"{folder}/{name}.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


health = module("grpc/health/v1/health_pb2")
reflection = module("grpc/reflection/v1/reflection_pb2")
status_pb2 = module("google/rpc/status_pb2")
CHANNEL = grpc.insecure_channel(ADDRESS)
SERVICE = "/document.DocumentService/"


def unary(method, request, answer, metadata=(), timeout=TIMEOUT, channel=CHANNEL):
    call = channel.unary_unary(method, lambda m: m if isinstance(m, bytes) else m.SerializeToString(), answer.FromString)
    return call(request, metadata=metadata, timeout=timeout)


def get(id, **options):
    return unary(SERVICE + "GetDocument", document.GetDocumentRequest(document_id=id), document.DocumentResponse, **options)


def exists(id, **options):
    return unary(SERVICE + "DocumentExists", document.DocumentExistsRequest(document_id=id), document.DocumentExistsResponse, **options).exists


def update(id, status, version=None, **options):
    request = document.UpdateDocumentStatusRequest(document_id=id, status=status)
    if version is not None:
        request.expected_version = version
    return unary(SERVICE + "UpdateDocumentStatus", request, document.DocumentResponse, **options)


def watch(id, timeout=TIMEOUT, metadata=(), **fields):
    call = CHANNEL.unary_stream(SERVICE + "WatchDocument", document.WatchDocumentRequest.SerializeToString, document.DocumentEvent.FromString)
    stream = call(document.WatchDocumentRequest(document_id=id, **fields), timeout=timeout, metadata=metadata)
    return stream


def at(path):
    """Who answers: signatures may be a process of their own."""
    return os.environ.get("SIGNATURES_URL", URL) if path.startswith("/signatures") else URL


def ask(method, path, body=None, headers=()):
    request = urllib.request.Request(at(path) + path, method=method, data=None if body is None else json.dumps(body).encode(),
                                     headers={"Content-Type": "application/json", **dict(headers)})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null")


def new(title="Lease", headers=()):
    status, row = ask("POST", "/documents", {"title": title}, headers)
    assert status == 201, row
    return row["id"]


def refused(code, call):
    """The error of a call, whose code must be this one."""
    try:
        answer = call()
    except grpc.RpcError as error:
        assert error.code() == code, (error.code(), error.details())
        return error
    raise AssertionError(f"not refused: {answer}")


def details(error):
    """Type names and bytes of what an error says beside its code."""
    trailer = dict(error.trailing_metadata())["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(trailer)
    assert status.code == error.code().value[0] and status.message == error.details()
    return {detail.type_url.split(".")[-1]: detail.value for detail in status.details}


def metric(method, code):
    text = urllib.request.urlopen(OPERATIONS + "/metrics", timeout=TIMEOUT).read().decode()
    return sum(float(line.split()[-1]) for line in text.splitlines()
               if line.startswith(f'annals_grpc_calls_total{{method="{method}",code="{code}"}}'))


def rises(method, code, before):
    deadline = time.monotonic() + TIMEOUT
    while metric(method, code) <= before:
        assert time.monotonic() < deadline, f"no {method} with {code}"
        time.sleep(0.05)


CASES = []


def case(function):
    CASES.append(function)
    return function


@case
def existing_clients_calls():
    id = new("Sales Agreement Q4 2025")
    row = get(id)
    assert (row.id, row.title, row.status, row.version) == (id, "Sales Agreement Q4 2025", "created", 1), row
    assert exists(id) and not exists("01a21d81-9009-7f93-8302-27946019b293")
    row = update(id, "viewed")
    assert (row.id, row.status, row.version) == (id, "viewed", 2), row
    assert ask("GET", f"/documents/{id}?at_least=")[0] in (200, 400)
    status, now = ask("GET", f"/documents/{id}", headers=[("Cache-Control", "no-cache")])
    assert status == 200
    assert exists(id)
    assert ask("DELETE", f"/documents/{id}")[0] == 204
    assert not exists(id)


@case
def statuses_that_fit():
    id = new()
    missing = "01a21d81-9009-7f93-8302-27946019b293"
    refused(grpc.StatusCode.NOT_FOUND, lambda: get(missing))
    refused(grpc.StatusCode.NOT_FOUND, lambda: update(missing, "viewed"))
    refused(grpc.StatusCode.NOT_FOUND, lambda: next(watch(missing)))
    error = refused(grpc.StatusCode.INVALID_ARGUMENT, lambda: get("x"))
    violation = status_pb2.BadRequest.FromString(details(error)["BadRequest"]).field_violations[0]
    assert violation.field == "document_id" and "“x” is not a UUID" in violation.description, violation
    error = refused(grpc.StatusCode.INVALID_ARGUMENT, lambda: update(id, "burnt"))
    assert status_pb2.BadRequest.FromString(details(error)["BadRequest"]).field_violations[0].field == "status"
    error = refused(grpc.StatusCode.ABORTED, lambda: update(id, "viewed", version=7))
    info = status_pb2.ErrorInfo.FromString(details(error)["ErrorInfo"])
    assert (info.reason, info.domain, dict(info.metadata)) == ("VERSION_CONFLICT", "annals", {"expected": "7", "actual": "1"}), info
    assert update(id, "archived", version=1).version == 2
    error = refused(grpc.StatusCode.FAILED_PRECONDITION, lambda: update(id, "viewed"))
    assert status_pb2.PreconditionFailure.FromString(details(error)["PreconditionFailure"]).violations[0].description == error.details()
    gone = new()
    assert ask("DELETE", f"/documents/{gone}")[0] == 204
    error = refused(grpc.StatusCode.NOT_FOUND, lambda: get(gone))
    assert status_pb2.ErrorInfo.FromString(details(error)["ErrorInfo"]).reason == "DELETED"
    refused(grpc.StatusCode.NOT_FOUND, lambda: next(watch(gone)))
    error = refused(grpc.StatusCode.UNIMPLEMENTED, lambda: unary("/document.DocumentService/Nope", b"", document.DocumentResponse))
    assert "there is no method “/document.DocumentService/Nope”" == error.details()
    refused(grpc.StatusCode.UNIMPLEMENTED, lambda: unary("/nope", b"", document.DocumentResponse))
    error = refused(grpc.StatusCode.OUT_OF_RANGE, lambda: next(watch(id, from_version=99)))
    refused(grpc.StatusCode.INVALID_ARGUMENT, lambda: next(watch(id, **{"from": "nonsense"})))
    refused(grpc.StatusCode.UNAUTHENTICATED, lambda: get(id, metadata=[("authorization", "Bearer nonsense")]))


@case
def a_key_makes_a_call_once():
    id = new()
    key = [("idempotency-key", f"key-{id}")]
    first = update(id, "pending", metadata=key)
    update(id, "viewed")
    again = update(id, "pending", metadata=key)
    assert first == again and get(id).status == "viewed" and get(id).version == 3
    refused(grpc.StatusCode.INVALID_ARGUMENT, lambda: update(id, "signed", metadata=key))
    refused(grpc.StatusCode.INVALID_ARGUMENT, lambda: update(id, "viewed", metadata=[("idempotency-key", "a b")]))
    # One that changes nothing is answered alike later, when it would change something.
    key = [("idempotency-key", f"same-{id}")]
    assert update(id, "viewed", metadata=key).version == 3
    assert update(id, "pending").version == 4
    assert update(id, "viewed", metadata=key).version == 3 and get(id).version == 4
    # The same call at once, several times.
    other, answers = new(), []
    def call():
        while True:
            try:
                answers.append(update(other, "pending", version=1, metadata=[("idempotency-key", f"key-{other}")]).version)
                return
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.ABORTED:
                    answers.append(error.code())
                    return
                time.sleep(0.05)
    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [2] * 8, answers


@case
def the_actor_is_recorded():
    id = new(headers=[("X-Actor", "alice")])
    update(id, "viewed", metadata=[("x-actor", "bob"), ("x-correlation-id", "c-1")])
    stream = watch(id, from_version=1)
    assert next(stream).actor == "bob"
    stream.cancel()


@case
def a_watch_tells_each_change_once_and_in_order():
    id = new("One")
    stream = watch(id)
    stream.initial_metadata()
    update(id, "viewed")
    assert ask("PATCH", f"/documents/{id}", {"title": "Two"})[0] == 200
    assert ask("POST", "/signatures", {"document_id": id, "signer_email": "j@x.org", "signer_name": "Jane", "signature_data": "aGFsbG8="})[0] == 201
    seen = [next(stream) for _ in range(4)]
    assert [event.type for event in seen] == ["document.viewed", "document.retitled", "signature.given", "document.signed"], seen
    assert [event.version for event in seen] == [2, 3, 4, 4]
    assert (seen[0].old_status, seen[0].new_status, seen[1].title) == ("created", "viewed", "Two")
    assert (seen[2].signer_email, seen[2].signer_name) == ("j@x.org", "Jane") and seen[2].signature_id
    assert seen[2].cursor == "" and seen[3].cursor and abs(seen[3].timestamp / 1000 - time.time()) < 60
    stream.cancel()
    # From anywhere, without gap or double.
    for fields, first in (({"from_version": 0}, 1), ({"from_version": 2}, 3), ({"from": seen[1].cursor}, 4), ({"from": seen[3].cursor}, 5)):
        stream = watch(id, **fields)
        stream.initial_metadata()
        expected = [version for version in (1, 2, 3, 4, 4) if version >= first]
        assert [next(stream).version for _ in expected] == expected, fields
        stream.cancel()


@case
def a_watch_through_a_burst():
    id = new()
    streams = [watch(id, from_version=0) for _ in range(3)]
    def change():
        for number in range(150):
            assert ask("PATCH", f"/documents/{id}", {"title": f"{number}"})[0] == 200
    writer = threading.Thread(target=change)
    writer.start()
    for stream in streams:
        assert [next(stream).version for _ in range(151)] == list(range(1, 152))
        stream.cancel()
    writer.join()


@case
def deadlines_and_cancellations_end_the_work():
    id = new()
    method = SERVICE + "WatchDocument"
    before = metric(method, "CANCELLED")
    started = time.monotonic()
    refused(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: next(watch(id, timeout=0.5)))
    assert time.monotonic() - started < 60
    rises(method, "CANCELLED", before)
    before = metric(method, "CANCELLED")
    stream = watch(id)
    stream.initial_metadata()
    stream.cancel()
    rises(method, "CANCELLED", before)
    # A client that goes without a word.
    before = metric(method, "CANCELLED")
    channel = grpc.insecure_channel(ADDRESS, options=[("grpc.use_local_subchannel_pool", 1)])
    call = channel.unary_stream(method, document.WatchDocumentRequest.SerializeToString, document.DocumentEvent.FromString)
    stream = call(document.WatchDocumentRequest(document_id=id))
    stream.initial_metadata()
    channel.close()
    rises(method, "CANCELLED", before)


@case
def sharing_that_is_taken_back_ends_a_watch():
    token = ask("GET", "/auth/token?user_id=jane&email=jane@test.com")[1]["access_token"]
    bearer = [("authorization", f"Bearer {token}")]
    id = new(headers=[("X-Actor", "alice")])
    refused(grpc.StatusCode.NOT_FOUND, lambda: get(id, metadata=bearer))
    assert not exists(id, metadata=bearer)
    refused(grpc.StatusCode.NOT_FOUND, lambda: next(watch(id, metadata=bearer)))
    assert ask("PUT", f"/documents/{id}/shares/user:jane", {"rights": ["view"]})[0] == 200
    assert exists(id, metadata=bearer)
    refused(grpc.StatusCode.PERMISSION_DENIED, lambda: update(id, "viewed", metadata=bearer))
    stream = watch(id, metadata=bearer)
    stream.initial_metadata()
    assert ask("PATCH", f"/documents/{id}", {"title": "seen"})[0] == 200
    event = next(stream)
    assert event.title == "seen" and event.actor == "", event
    assert ask("DELETE", f"/documents/{id}/shares/user:jane")[0] == 200
    refused(grpc.StatusCode.PERMISSION_DENIED, lambda: next(stream))


@case
def health_and_reflection():
    check = lambda name: unary("/grpc.health.v1.Health/Check", health.HealthCheckRequest(service=name), health.HealthCheckResponse).status
    assert check("") == check("document.DocumentService") == health.HealthCheckResponse.SERVING
    refused(grpc.StatusCode.NOT_FOUND, lambda: check("nope"))
    call = CHANNEL.unary_stream("/grpc.health.v1.Health/Watch", health.HealthCheckRequest.SerializeToString, health.HealthCheckResponse.FromString)
    for name, status in (("", "SERVING"), ("nope", "SERVICE_UNKNOWN")):
        stream = call(health.HealthCheckRequest(service=name), timeout=TIMEOUT)
        assert next(stream).status == getattr(health.HealthCheckResponse, status)
        stream.cancel()
    for version in ("v1", "v1alpha"):
        call = CHANNEL.stream_stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
                                     reflection.ServerReflectionRequest.SerializeToString, reflection.ServerReflectionResponse.FromString)
        asked = [dict(list_services=""), dict(file_containing_symbol="document.DocumentService"),
                 dict(file_containing_symbol="document.DocumentService.WatchDocument"), dict(file_by_filename="document.proto"),
                 dict(file_containing_symbol="google.rpc.BadRequest.FieldViolation"), dict(file_containing_symbol="nope")]
        answers = list(call(iter([reflection.ServerReflectionRequest(**one) for one in asked]), timeout=TIMEOUT))
        names = [service.name for service in answers[0].list_services_response.service]
        assert names == ["document.DocumentService", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
                         "grpc.reflection.v1alpha.ServerReflection"], names
        for answer in answers[1:5]:
            assert answer.file_descriptor_response.file_descriptor_proto, answer
        assert answers[5].error_response.error_code == 5


@case
def what_is_too_large_or_mangled_is_refused():
    id = new()
    refused(grpc.StatusCode.RESOURCE_EXHAUSTED, lambda: get("x" * (2 << 20)))
    # This one costs its client the connection.
    other = grpc.insecure_channel(ADDRESS, options=[("grpc.use_local_subchannel_pool", 1)])
    refused(grpc.StatusCode.RESOURCE_EXHAUSTED, lambda: get(id, metadata=[("x-long", "x" * 60_000)], channel=other))
    other.close()
    refused(grpc.StatusCode.INVALID_ARGUMENT, lambda: unary(SERVICE + "GetDocument", b"\x0a\xff", document.DocumentResponse))
    assert get(id, metadata=[("authorizatio", "x"), ("x-bytes-bin", b"\x00\xff"), ("x-correlation-id", "z" * 5_000)]).id == id
    random.seed(7)
    methods = ["GetDocument", "DocumentExists", "UpdateDocumentStatus"]
    whole = document.UpdateDocumentStatusRequest(document_id=id, status="viewed", expected_version=1).SerializeToString()
    counts = {}
    for number in range(3_000):
        data = bytearray(whole)
        for _ in range(random.randint(1, 6)):
            place = random.randrange(len(data) + 1)
            data[place:place + random.randint(0, 3)] = bytes(random.getrandbits(8) for _ in range(random.randint(0, 4)))
        try:
            unary(SERVICE + methods[number % 3], bytes(data), document.DocumentResponse)
            code = "OK"
        except grpc.RpcError as error:
            code = error.code().name
        counts[code] = counts.get(code, 0) + 1
    assert set(counts) <= {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "ABORTED"}, counts
    assert get(id).id == id


@case
def what_is_compressed_is_refused_before_it_is_inflated():
    bomb = document.GetDocumentRequest(document_id="0" * (200 << 20)).SerializeToString()
    other = grpc.insecure_channel(ADDRESS, options=[("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)])
    call = other.unary_unary(SERVICE + "GetDocument", lambda m: m, document.DocumentResponse.FromString)
    refused(grpc.StatusCode.UNIMPLEMENTED, lambda: call(bomb, timeout=TIMEOUT, compression=grpc.Compression.Gzip))
    other.close()
    assert exists(new())


@case
def a_text_of_a_client_makes_no_large_trailer():
    error = refused(grpc.StatusCode.INVALID_ARGUMENT, lambda: get("e" + "\u0301" * 200_000))
    assert len(dict(error.trailing_metadata())["grpc-status-details-bin"]) < 4_000


def who_sends_nothing_is_ended():
    """Where the server's limit for a call is three seconds."""
    call = CHANNEL.stream_unary(SERVICE + "GetDocument", document.GetDocumentRequest.SerializeToString, document.DocumentResponse.FromString)
    started, done = time.monotonic(), threading.Event()

    def nothing():
        done.wait(60)
        yield from ()
    refused(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: call(nothing(), timeout=60))
    done.set()
    assert 2 < time.monotonic() - started < 50, time.monotonic() - started


def token(role, user):
    def part(value):
        return base64.urlsafe_b64encode(value if isinstance(value, bytes) else json.dumps(value).encode()).rstrip(b"=")
    text = part({"alg": "HS256", "typ": "JWT"}) + b"." + part({"iss": "tests", "aud": "annals", "sub": user, "roles": [role], "exp": int(time.time()) + 3600})
    secret = os.environ["ANNALS_AUTH_SECRET"].encode()
    return (text + b"." + part(hmac.new(secret, text, hashlib.sha256).digest())).decode()


def who_may_call_what_is_as_for_the_routes():
    """Every role in every relation, and without a token: the answer to the route says what the call must say."""
    codes = {200: "OK", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}
    admin, cells = [("Authorization", f"Bearer {token('admin', 'root')}")], 0
    relations = {"stranger": None, "viewer": ["view"], "signer": ["view", "sign"], "changer": ["view", "change"], "owner": "owner"}
    for role in ("admin", "user", "guest", "auditor", None):
        for relation, rights in relations.items():
            user = f"{role}-{relation}"
            owner = [("Authorization", f"Bearer {token('user', user)}")]
            id = new(headers=owner if rights == "owner" else admin)
            if isinstance(rights, list):
                assert ask("PUT", f"/documents/{id}/shares/user:{user}", {"rights": rights}, admin)[0] == 200
            headers = [] if role is None else [("Authorization", f"Bearer {token(role, user)}")]
            metadata = [(name.lower(), value) for name, value in headers]
            read = codes[ask("GET", f"/documents/{id}", headers=headers)[0]]
            changed = codes[ask("PATCH", f"/documents/{id}", {"status": "viewed"}, headers)[0]]
            def code(call):
                try:
                    answer = call()
                    return ("OK" if answer else "NOT_FOUND") if isinstance(answer, bool) else "OK"
                except grpc.RpcError as error:
                    return error.code().name
            got = [code(lambda: get(id, metadata=metadata)), code(lambda: exists(id, metadata=metadata)),
                   code(lambda: update(id, "pending", metadata=metadata)),
                   code(lambda: next(watch(id, metadata=metadata, from_version=0)))]
            assert got == [read, read, changed, read], (role, relation, got, read, changed)
            cells += 4
    print(f"{cells} cells")


if "ANNALS_AUTH_SECRET" in os.environ:
    CASES = [who_may_call_what_is_as_for_the_routes]
def a_client_calls_each_method_so_often():
    """ANNALS_LIMITS_REQUESTS is 5: for each method of its own, and for whoever has no right too."""
    id = new()
    for _ in range(5):
        get(id)
    error = refused(grpc.StatusCode.RESOURCE_EXHAUSTED, lambda: get(id))
    assert "at most 5 requests" in error.details(), error.details()
    assert exists(id)


if "ANNALS_LIMITS_REQUESTS" in os.environ:
    CASES = [a_client_calls_each_method_so_often]
if "ANNALS_HTTP_HANDLER_TIMEOUT" in os.environ:
    CASES = [who_sends_nothing_is_ended]
run(CASES, sys.argv[4] if len(sys.argv) > 4 else "")
