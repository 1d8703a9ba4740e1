#!/usr/bin/env python3
"""TLS in front of servers that have none: an authority of its own, a certificate for 127.0.0.1, and what comes goes on in the clear.

    tls.py FOLDER PORT=TARGET_PORT …    writes FOLDER/ca.pem, prints “ready”, and counts connections in FOLDER/connections"""
import asyncio
import os
import ssl
import subprocess
import sys

FOLDER = sys.argv[1]


def quietly(*words):
    subprocess.run(words, cwd=FOLDER, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def certificates():
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    quietly("openssl", "req", "-x509", *curve, "-days", "2", "-subj", "/CN=an authority of a test", "-keyout", "ca.key", "-out", "ca.pem")
    quietly("openssl", "req", *curve, "-subj", "/CN=127.0.0.1", "-keyout", "server.key", "-out", "server.csr")
    with open(os.path.join(FOLDER, "san"), "w", encoding="utf-8") as file:
        file.write("subjectAltName=IP:127.0.0.1")
    quietly("openssl", "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", "san", "-out", "server.crt")


async def copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except (OSError, ssl.SSLError):
        pass
    finally:
        writer.close()


async def serve(port, target, context):
    async def take(reader, writer):
        with open(os.path.join(FOLDER, "connections"), "a", encoding="utf-8") as file:
            file.write(f"{port}\n")
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer))

    return await asyncio.start_server(take, "127.0.0.1", port, ssl=context)


async def main():
    certificates()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(FOLDER, "server.crt"), os.path.join(FOLDER, "server.key"))
    servers = [await serve(*map(int, pair.split("=")), context) for pair in sys.argv[2:]]
    print("ready", flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


asyncio.run(main())
