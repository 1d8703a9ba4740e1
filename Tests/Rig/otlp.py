#!/usr/bin/env python3
"""A collector of OpenTelemetry's protocol (OTLP/HTTP) for tests: it decodes what comes by PyPI's opentelemetry-proto and prints each span as a
line of JSON.

    otlp.py PORT [STATUS …]    what it answers first; then 200"""
import http.server
import json
import sys

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.trace.v1.trace_pb2 import Span

FIRST = [int(status) for status in sys.argv[2:]]


def value(any_value):
    kind = any_value.WhichOneof("value")
    return getattr(any_value, kind) if kind else None


def attributes(pairs):
    return {pair.key: value(pair.value) for pair in pairs}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = FIRST.pop(0) if FIRST else 200
        if self.path != "/v1/traces" or self.headers["Content-Type"] != "application/x-protobuf":
            status = 400
        if status == 200:
            request = ExportTraceServiceRequest.FromString(body)
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        print(json.dumps({
                            "trace": span.trace_id.hex(), "span": span.span_id.hex(), "parent": span.parent_span_id.hex(), "name": span.name,
                            "kind": Span.SpanKind.Name(span.kind), "begun": span.start_time_unix_nano, "ended": span.end_time_unix_nano,
                            "attributes": attributes(span.attributes), "status": span.status.code, "message": span.status.message,
                            "resource": attributes(resource.resource.attributes), "scope": scope.scope.name,
                            "authorization": self.headers["Authorization"]}), flush=True)
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *arguments):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
