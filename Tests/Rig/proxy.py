"""TCP proxies that can be cut (nothing goes through, and nobody is told, as when a cable is pulled), refuse (every connection is
closed, as when the server is down) or be slow (what the server says arrives so many seconds later).

As a program: `proxy.py NAME=PORT:TARGET …` forwards 127.0.0.1:PORT to 127.0.0.1:TARGET, and takes `cut NAME`, `refuse NAME`,
`slow NAME SECONDS` and `heal NAME` from standard input, with whose end it ends; or, with `control=PORT` among its words, as requests
(`POST /slow/NAME/SECONDS`), until it is stopped.
"""
import asyncio
import subprocess
import sys


class Proxies:
    """The program, and the ports at which it listens."""

    def __init__(self, routes, log):
        """`routes`: port and target by name."""
        self.routes = routes
        words = [f"{name}={port}:{target}" for name, (port, target) in routes.items()]
        self.process = subprocess.Popen([sys.executable, __file__, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=open(log, "ab"), text=True)
        if self.process.stdout.readline() != "ready\n":
            sys.exit(f"the proxies did not start; see {log}")

    def port(self, name):
        return self.routes[name][0]

    def say(self, word, name):
        self.process.stdin.write(f"{word} {name}\n")
        self.process.stdin.flush()

    def cut(self, name):
        self.say("cut", name)

    def slow(self, name, seconds):
        self.say("slow", f"{name} {seconds}")

    def heal(self, name):
        self.say("heal", name)

    def stop(self):
        self.process.stdin.close()
        self.process.wait(10)


class Route:
    def __init__(self, target):
        self.target = target
        self.open = asyncio.Event()
        self.open.set()
        self.refuses = False
        self.delay = 0
        self.writers = set()

    def do(self, verb, *words):
        match verb:
            case "cut":
                self.open.clear()
            case "refuse":
                self.refuses = True
                for writer in list(self.writers):
                    writer.transport.abort()
            case "slow":
                self.delay = float(words[0])
            case "heal":
                self.refuses, self.delay = False, 0
                self.open.set()
            case _:
                raise ValueError(f"{verb}: cut, refuse, slow and heal are possible")

    async def accept(self, reader, writer):
        if self.refuses:
            writer.transport.abort()
            return
        await self.open.wait()
        try:
            target_reader, target_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, target_writer}
        self.writers |= ends
        await asyncio.gather(self.pipe(reader, target_writer, False), self.pipe(target_reader, writer, True))
        self.writers -= ends

    async def pipe(self, reader, writer, is_slowed):
        """A slowed piece is under way for a while, and the next ones with it: a long line, not a narrow one."""
        loop = asyncio.get_running_loop()
        under_way = asyncio.Queue()

        async def deliver():
            while True:
                due, data = await under_way.get()
                await asyncio.sleep(due - loop.time())
                await self.open.wait()
                if not data:
                    writer.write_eof()
                    return
                writer.write(data)
                await writer.drain()

        delivery = asyncio.create_task(deliver())
        try:
            while True:
                data = await reader.read(1 << 16)
                under_way.put_nowait((loop.time() + (self.delay if is_slowed else 0), data))
                if not data:
                    break
            await delivery
        except OSError:
            delivery.cancel()
            await self.open.wait()
            writer.transport.abort()


async def main(words):
    routes, servers, control = {}, [], None
    for word in words:
        name, address = word.split("=")
        if name == "control":
            control = int(address)
            continue
        port, target = map(int, address.split(":"))
        routes[name] = Route(target)
        servers.append(await asyncio.start_server(routes[name].accept, "127.0.0.1", port))
    print("ready", flush=True)

    def do(verb, name, *words):
        routes[name].do(verb, *words)

    if control:
        async def ask(reader, writer):
            request = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
            do(*request.strip("/").split("/"))
            writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
            await writer.drain()
            writer.close()
        async with await asyncio.start_server(ask, "127.0.0.1", control) as server:
            await server.serve_forever()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        do(*line.split())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
