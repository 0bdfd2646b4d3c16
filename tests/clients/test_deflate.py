"""permessage-deflate as the `websockets` package of Python speaks it, in every combination of its
parameters. Python's zlib is not the server's: what one makes the other must read."""

import itertools
import os
import urllib.request
import zlib

from websockets.exceptions import ConnectionClosedError
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import CloseCode

from test_websockets import OneServer, client

WINDOW = 12
TEXT = "all work and no play makes a dull boy, and a duller server; "


def offering(server, path="/echo", **parameters):
    """A connection that offers exactly these parameters."""
    return client(server, path, extensions=[ClientPerMessageDeflateFactory(**parameters)])


def metric(server, name):
    with urllib.request.urlopen(f"http://{server.admin}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[1]) for line in lines if line.split("{")[0].split(" ")[0] == name)


def expected(mode, server_keeps_none, client_keeps_none, server_bits, client_bits):
    """What the client should find agreed: who keeps contexts, and the two windows."""
    if mode == "shared":
        return True, True, server_bits or 15, 15 if client_bits in (None, True) else client_bits
    limit = WINDOW if not client_keeps_none else 15
    if client_bits is None:
        client_window = 15
    elif client_bits is True:
        client_window = limit
    else:
        client_window = min(client_bits, limit)
    return server_keeps_none, client_keeps_none, min(server_bits or 15, 15), client_window


class EveryParameter(OneServer):
    mode = "shared"
    flags = ("--compression=shared",)

    async def test_every_combination_is_agreed_on_and_used(self):
        offers = itertools.product(
            (False, True), (False, True), (None, 9, 12, 15), (None, True, 9, 12, 15)
        )
        for offer in offers:
            with self.subTest(offer=offer):
                await self.try_offer(*offer)

    async def try_offer(self, server_keeps_none, client_keeps_none, server_bits, client_bits):
        parameters = {
            "server_no_context_takeover": server_keeps_none,
            "client_no_context_takeover": client_keeps_none,
            "server_max_window_bits": server_bits,
            "client_max_window_bits": client_bits,
        }
        async with offering(self.server, **parameters) as connection:
            (agreed,) = connection.protocol.extensions
            server_none, client_none, server_window, client_window = expected(
                self.mode, server_keeps_none, client_keeps_none, server_bits, client_bits
            )
            self.assertEqual(agreed.remote_no_context_takeover, server_none)
            self.assertEqual(agreed.local_no_context_takeover, client_none)
            if server_bits is not None:
                self.assertEqual(agreed.remote_max_window_bits, min(server_window, WINDOW))
            self.assertEqual(agreed.local_max_window_bits, client_window)
            for size in (0, 1, 300, 5000, 100_000):
                noise = os.urandom(size // 3).hex()
                for sent in ((TEXT * (size // 20 + 1))[:size], noise, noise + noise, noise.encode()):
                    await connection.send(sent)
                    self.assertTrue(await self.receive(connection) == sent, f"{size} bytes")
            await connection.send(iter(["in ", "three ", "fragments " * 100]))
            self.assertEqual(
                await self.receive(connection), "in three " + "fragments " * 100
            )


class EveryParameterDedicated(EveryParameter):
    mode = "dedicated"
    flags = ("--compression=dedicated",)


class Shared(OneServer):
    flags = ("--compression=shared", "--max-message-size=1MiB")

    async def test_its_default_offer_is_taken(self):
        async with client(self.server, compression="deflate") as connection:
            self.assertEqual(len(connection.protocol.extensions), 1)
            await connection.send(TEXT * 100)
            self.assertEqual(await self.receive(connection), TEXT * 100)
        self.assertEqual(metric(self.server, "ws_messages_inflated_total"), 1)
        self.assertEqual(metric(self.server, "ws_messages_compressed_total"), 1)

    async def test_a_bomb_is_closed_with_1009(self):
        async with offering(self.server) as connection:
            with self.assertRaises(ConnectionClosedError) as closed:
                await connection.send("0" * (100 * 1024 * 1024))
                await self.receive(connection)
            self.assertEqual(closed.exception.rcvd.code, CloseCode.MESSAGE_TOO_BIG)

    async def test_a_window_of_8_bits_is_not_agreed_on(self):
        async with offering(self.server, server_max_window_bits=8) as connection:
            self.assertEqual(connection.protocol.extensions, [])
            await connection.send(TEXT)
            self.assertEqual(await self.receive(connection), TEXT)

    async def test_a_compressed_bit_without_agreement_is_a_protocol_error(self):
        async with client(self.server) as connection:
            small = zlib.compressobj(wbits=-15)
            data = (small.compress(b"hello") + small.flush(zlib.Z_SYNC_FLUSH))[:-4]
            # By hand, since the package would not; the mask is zero.
            connection.transport.write(bytes([0xC1, 0x80 | len(data), 0, 0, 0, 0]) + data)
            with self.assertRaises(ConnectionClosedError) as closed:
                await self.receive(connection)
            self.assertEqual(closed.exception.rcvd.code, CloseCode.PROTOCOL_ERROR)

    async def test_a_broadcast_reaches_those_who_agreed_and_those_who_did_not(self):
        async with offering(self.server, "/broadcast") as one, client(
            self.server, "/broadcast"
        ) as two, offering(self.server, "/broadcast", server_max_window_bits=9) as three:
            await one.send(TEXT * 50)
            for connection in (one, two, three):
                self.assertEqual(await self.receive(connection), TEXT * 50)
