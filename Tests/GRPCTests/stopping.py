#!/usr/bin/python3
"""What those hear whose calls last when the server stops.

    stopping.py BINARY PORT OPERATIONS_PORT GRPC_PORT

Starts a server of its own, and prints a line for each call."""
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

import grpc

BINARY, PORT, OPERATIONS, GRPC = sys.argv[1:5]
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "Sources")
folder = tempfile.mkdtemp()
for protos, file in ((f"{ROOT}/Services/RPC/Protos", "document.proto"), (f"{ROOT}/Platform/GRPC/Protos/grpc/health/v1", "health.proto")):
    subprocess.run(["protoc", "-I", protos, f"--python_out={folder}", file], check=True)
sys.path.insert(0, folder)
import document_pb2  # noqa: E402
import health_pb2  # noqa: E402

environment = dict(os.environ, ANNALS_HTTP_PORT=PORT, ANNALS_OPERATIONS_PORT=OPERATIONS, ANNALS_GRPC_PORT=GRPC)
server = subprocess.Popen([BINARY, "serve", "documents,grpc"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
channel = grpc.insecure_channel(f"127.0.0.1:{GRPC}")
grpc.channel_ready_future(channel).result(timeout=60)
connection = http.client.HTTPConnection("127.0.0.1", int(PORT), timeout=30)
connection.request("POST", "/documents", json.dumps({"title": "Lease"}), {"Content-Type": "application/json"})
id = json.loads(connection.getresponse().read())["id"]

watch = channel.unary_stream("/grpc.health.v1.Health/Watch", health_pb2.HealthCheckRequest.SerializeToString,
                             health_pb2.HealthCheckResponse.FromString)(health_pb2.HealthCheckRequest(), timeout=60)
events = channel.unary_stream("/document.DocumentService/WatchDocument", document_pb2.WatchDocumentRequest.SerializeToString,
                              document_pb2.DocumentEvent.FromString)(document_pb2.WatchDocumentRequest(document_id=id), timeout=60)
seen = [next(watch).status]
events.initial_metadata()
waiting = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
done = threading.Event()


def nothing():
    done.wait(60)
    yield from ()


reflection = waiting(nothing(), timeout=60)
time.sleep(0.2)
began = time.monotonic()
server.send_signal(signal.SIGTERM)


def end(stream):
    """The messages that are left, and the status."""
    left = []
    try:
        for message in stream:
            left.append(message)
    except grpc.RpcError as error:
        return left, error.code().name
    return left, "OK"


left, status = end(watch)
names = [health_pb2.HealthCheckResponse.ServingStatus.Name(one) for one in seen + [message.status for message in left]]
print("health", *names, status)
print("watch", end(events)[1])
print("reflection", end(reflection)[1])
done.set()
if server.wait(30) != 0:
    print("it ended with", server.returncode)
if time.monotonic() - began > 15:
    print("it took", time.monotonic() - began)
