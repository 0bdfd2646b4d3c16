"""A server on Python's `websockets`, for the load generator: /echo and /broadcast.

Prints its port, then serves until its standard input ends. Deadlines in seconds, as arguments:
open, ping interval, ping timeout.
"""

import asyncio
import sys

from websockets.asyncio.server import broadcast, serve
from websockets.exceptions import ConnectionClosed

subscribers = set()


async def handle(connection):
    to_all = connection.request.path == "/broadcast"
    if to_all:
        subscribers.add(connection)
    try:
        async for message in connection:
            if to_all:
                broadcast(subscribers, message)
            else:
                await connection.send(message)
    except ConnectionClosed:
        pass
    finally:
        subscribers.discard(connection)


async def main(open_timeout, ping_interval, ping_timeout):
    settings = {
        "compression": None,
        "open_timeout": open_timeout,
        "ping_interval": ping_interval,
        "ping_timeout": ping_timeout,
        "close_timeout": 1,
    }
    async with serve(handle, "127.0.0.1", 0, **settings) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)


asyncio.run(main(*map(float, sys.argv[1:4])))
