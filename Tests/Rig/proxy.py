"""TCP proxies that can be cut: nothing goes through, nobody is told, as when a cable is pulled.

As a program: `proxy.py NAME=PORT:TARGET …` forwards 127.0.0.1:PORT to 127.0.0.1:TARGET, and takes `cut NAME` and `heal NAME` from
standard input. It ends with its standard input.
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

    async def accept(self, reader, writer):
        await self.open.wait()
        try:
            target_reader, target_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(self.pipe(reader, target_writer), self.pipe(target_reader, writer))

    async def pipe(self, reader, writer):
        try:
            while data := await reader.read(1 << 16):
                await self.open.wait()
                writer.write(data)
                await writer.drain()
            await self.open.wait()
            writer.write_eof()
        except OSError:
            await self.open.wait()
            writer.transport.abort()


async def main(words):
    routes, servers = {}, []
    for word in words:
        name, address = word.split("=")
        port, target = map(int, address.split(":"))
        routes[name] = Route(target)
        servers.append(await asyncio.start_server(routes[name].accept, "127.0.0.1", port))
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        verb, name = line.split()
        (routes[name].open.clear if verb == "cut" else routes[name].open.set)()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
