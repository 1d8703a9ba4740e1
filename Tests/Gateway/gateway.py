#!/usr/bin/python3
"""The gateway as other programs see it: TLS, gRPC over it, and a WebSocket.

    gateway.py URL TLS_URL"""
import json
import os
import socket
import ssl
import sys
import urllib.request
from urllib.parse import urlsplit

import grpc
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Request, TextMessage

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from Rig.cases import run  # noqa: E402

URL, TLS = sys.argv[1:3]
TIMEOUT = 30
HOST, PORT = urlsplit(TLS).hostname, urlsplit(TLS).port
CERTIFICATE = ssl.get_server_certificate((HOST, PORT))
CONTEXT = ssl.create_default_context(cadata=CERTIFICATE)


def ask(base, method, path, body=None):
    request = urllib.request.Request(base + path, method=method, data=body and json.dumps(body).encode(), headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=TIMEOUT, context=CONTEXT if base == TLS else None) as answer:
        return answer.status, json.loads(answer.read())


def tls():
    status, row = ask(TLS, "POST", "/documents", {"title": "With TLS"})
    assert status == 201 and ask(TLS, "GET", f"/documents/{row['id']}")[1]["title"] == "With TLS"


def calls():
    row = ask(URL, "POST", "/documents", {"title": "Called"})[1]
    channel = grpc.secure_channel(f"localhost:{PORT}", grpc.ssl_channel_credentials(CERTIFICATE.encode()))
    # GetDocumentRequest { string document_id = 1; } and DocumentResponse { string id = 1; string title = 2; }, byte by byte.
    get = channel.unary_unary("/document.DocumentService/GetDocument")
    id = row["id"].encode()
    answer = get(b"\x0a" + bytes([len(id)]) + id, timeout=TIMEOUT)
    assert id in answer and b"Called" in answer, answer
    try:
        get(b"\x0a\x04none", timeout=TIMEOUT)
        raise AssertionError("a malformed id is taken")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error


def sockets():
    id = ask(URL, "POST", "/documents", {"title": "Watched"})[1]["id"]
    raw = socket.create_connection((urlsplit(URL).hostname, urlsplit(URL).port), timeout=TIMEOUT)
    ws = WSConnection(ConnectionType.CLIENT)
    raw.sendall(ws.send(Request(host="x", target=f"/ws/{id}")))

    def next_of(kind):
        while True:
            for event in ws.events():
                if isinstance(event, kind):
                    return event
            ws.receive_data(raw.recv(65536) or None)
    next_of(AcceptConnection)
    ask(URL, "PATCH", f"/documents/{id}", {"status": "viewed"})
    assert json.loads(next_of(TextMessage).data)["type"] == "document.viewed"


run((tls, calls, sockets))
