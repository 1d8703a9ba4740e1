"""Python's grpc.aio: answers health's Check and a constant document. calls_peer.py PORT"""
import asyncio
import sys

import grpc

SERVING = b"\x08\x01"
DOCUMENT = (b"\x0a\x2401a21d81-9009-7f93-8302-27946019b293\x12\x05Lease\x1a\x07created\x22\x09anonymous"
            b"\x3a\x1b2026-11-27T14:56:00.010015Z\x42\x1b2026-11-27T14:56:00.010015Z\x50\x01")


class Handler(grpc.GenericRpcHandler):
    def service(self, details):
        answer = SERVING if details.method.endswith("/Check") else DOCUMENT

        async def call(request, context):
            return answer
        return grpc.unary_unary_rpc_method_handler(call)


async def main():
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((Handler(),))
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    await server.start()
    await server.wait_for_termination()


asyncio.run(main())
