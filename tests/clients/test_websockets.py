"""The server as seen by the `websockets` package of Python, with its asyncio client."""

import asyncio
import os
import resource
import time
import unittest

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus
from websockets.frames import CloseCode

from server import Server

LIMIT = 1024 * 1024
# Each side of the places where the frame header's length field changes its form.
SIZES = [0, 1, 20, 125, 126, 127, 1000, 4096, 65535, 65536, 65537, 300_000, LIMIT - 1, LIMIT]
PATIENCE = 20.0


def client(server, path="/echo", **options):
    """A connection as an application would open it, but without a proxy or a size limit."""
    options.setdefault("compression", None)
    return connect(server.url(path), max_size=None, proxy=None, open_timeout=PATIENCE, **options)


class OneServer(unittest.IsolatedAsyncioTestCase):
    """Tests that share nothing but need a server with these flags each."""

    flags = ()

    def setUp(self):
        self.server = self.enterContext(Server(*self.flags))

    async def asyncSetUp(self):
        # The debug mode that unittest turns on reports every slow step of a loaded client.
        asyncio.get_running_loop().set_debug(False)

    async def receive(self, connection):
        return await asyncio.wait_for(connection.recv(), PATIENCE)

    async def eventually(self, condition, what):
        deadline = time.monotonic() + PATIENCE
        while not await asyncio.to_thread(condition):
            self.assertLess(time.monotonic(), deadline, f"not in time: {what}")
            await asyncio.sleep(0.02)


class Messages(OneServer):
    async def test_binary_messages_of_every_size_come_back(self):
        async with client(self.server) as connection:
            for size in SIZES:
                sent = os.urandom(size)
                await connection.send(sent)
                self.assertEqual(await self.receive(connection), sent, f"{size} bytes")

    async def test_text_messages_of_every_size_come_back_as_text(self):
        async with client(self.server) as connection:
            for size in SIZES:
                sent = ("héllo wörld \N{GRINNING FACE} " * (size // 18 + 1)).encode()[:size]
                sent = sent.decode(errors="ignore")
                await connection.send(sent)
                self.assertEqual(await self.receive(connection), sent, f"{size} bytes")

    async def test_fragments_come_back_as_one_message(self):
        async with client(self.server) as connection:
            for pieces in (["one", "", "two", "three"], ["", ""], ["é" * 70_000] * 5):
                await connection.send(iter(pieces))
                self.assertEqual(await self.receive(connection), "".join(pieces))
            pieces = [os.urandom(size) for size in (1, 125, 126, 65536, 0, 7)]
            await connection.send(iter(pieces))
            self.assertEqual(await self.receive(connection), b"".join(pieces))

    async def test_a_ping_between_two_fragments_is_answered_before_the_message_ends(self):
        async with client(self.server) as connection:
            answered = asyncio.Event()

            async def pieces():
                yield "begun "
                pong = await connection.ping(b"between")
                await asyncio.wait_for(pong, PATIENCE)
                answered.set()
                yield "and ended"

            await connection.send(pieces())
            self.assertEqual(await self.receive(connection), "begun and ended")
            self.assertTrue(answered.is_set())

    async def test_thousands_of_messages_keep_their_order(self):
        count = 5000
        async with client(self.server) as connection:

            async def send_all():
                for number in range(count):
                    await connection.send(str(number))

            sending = asyncio.create_task(send_all())
            for number in range(count):
                self.assertEqual(await self.receive(connection), str(number))
            await sending

    async def test_a_message_over_the_limit_is_closed_with_1009(self):
        async with client(self.server) as connection:
            with self.assertRaises(ConnectionClosedError) as closed:
                await connection.send(bytes(LIMIT + 1))
                await self.receive(connection)
            self.assertEqual(closed.exception.rcvd.code, CloseCode.MESSAGE_TOO_BIG)


class Heartbeat(OneServer):
    flags = ("--ping-interval=300ms", "--pong-timeout=300ms", "--idle-timeout=off")

    async def test_pings_with_any_payload_are_answered(self):
        async with client(self.server) as connection:
            for payload in (b"", b"x", os.urandom(125)):
                pong = await connection.ping(payload)
                latency = await asyncio.wait_for(pong, PATIENCE)
                self.assertGreaterEqual(latency, 0)

    async def test_a_client_that_only_answers_pings_stays_connected(self):
        async with client(self.server, ping_interval=None) as connection:
            await self.eventually(
                lambda: self.server.metric("ws_pongs_received_total") >= 5,
                "five heartbeats were answered",
            )
            await connection.send("still here")
            self.assertEqual(await self.receive(connection), "still here")
            self.assertEqual(self.server.metric("ws_connections_active"), 1)

    async def test_a_pong_that_nobody_asked_for_is_no_offence(self):
        async with client(self.server) as connection:
            await connection.pong(b"out of the blue")
            await connection.send("on we go")
            self.assertEqual(await self.receive(connection), "on we go")


class Closing(OneServer):
    async def test_the_clients_close_code_is_answered_in_kind(self):
        for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 4999):
            connection = await client(self.server)
            await connection.close(code, "enough")
            self.assertEqual(connection.protocol.close_rcvd.code, code)
            self.assertEqual(connection.protocol.close_sent.code, code)
        await self.eventually(
            lambda: self.server.metric("ws_connections_closed_total", reason="peer_closed") == 11,
            "every one is counted as closed by its peer",
        )

    async def test_a_close_frame_without_a_code_is_answered_without_one(self):
        connection = await client(self.server)
        # The protocol object of the package can say this, its connection cannot.
        connection.protocol.send_close()
        connection.transport.write(b"".join(connection.protocol.data_to_send()))
        with self.assertRaises(ConnectionClosed):
            await self.receive(connection)
        self.assertEqual(connection.protocol.close_rcvd.code, CloseCode.NO_STATUS_RCVD)

    async def test_what_was_sent_before_the_close_frame_is_answered_before_it(self):
        connection = await client(self.server)
        for number in range(100):
            await connection.send(str(number))
        closing = asyncio.create_task(connection.close())
        replies = [reply async for reply in connection]
        await closing
        self.assertEqual(replies, [str(number) for number in range(100)])

    async def test_a_draining_server_says_1001(self):
        async with client(self.server) as connection:
            self.server.drain()
            with self.assertRaises(ConnectionClosed) as closed:
                await self.receive(connection)
            self.assertEqual(closed.exception.rcvd.code, CloseCode.GOING_AWAY)
        self.assertEqual(await asyncio.to_thread(self.server.exit_code), 0)

    async def test_an_idle_connection_is_told_1001(self):
        with Server("--idle-timeout=300ms") as server:
            async with client(server) as connection:
                with self.assertRaises(ConnectionClosed) as closed:
                    await self.receive(connection)
                self.assertEqual(closed.exception.rcvd.code, CloseCode.GOING_AWAY)


class Handshake(OneServer):
    flags = ("--subprotocol=chat.v2", "--subprotocol=chat.v1")

    async def test_compression_is_offered_and_not_negotiated(self):
        async with client(self.server, compression="deflate") as connection:
            offered = connection.request.headers["Sec-WebSocket-Extensions"]
            self.assertIn("permessage-deflate", offered)
            self.assertNotIn("Sec-WebSocket-Extensions", connection.response.headers)
            await connection.send("plain " * 1000)
            self.assertEqual(await self.receive(connection), "plain " * 1000)

    async def test_the_servers_most_wanted_subprotocol_is_selected(self):
        for offered, selected in (
            (["chat.v1", "chat.v2"], "chat.v2"),
            (["other", "chat.v1"], "chat.v1"),
            (["other"], None),
            (None, None),
        ):
            async with client(self.server, subprotocols=offered) as connection:
                self.assertEqual(connection.subprotocol, selected)

    async def test_an_unknown_path_is_refused_with_404(self):
        with self.assertRaises(InvalidStatus) as refused:
            await client(self.server, "/nowhere")
        self.assertEqual(refused.exception.response.status_code, 404)

    async def test_a_full_server_refuses_with_503_and_says_when_to_retry(self):
        with Server("--max-connections=1") as server:
            async with client(server):
                # The client itself takes a 503 for temporary and would try again.
                options = {"process_exception": lambda problem: problem}
                with self.assertRaises(InvalidStatus) as refused:
                    await client(server, **options)
                self.assertEqual(refused.exception.response.status_code, 503)
                self.assertIn("Retry-After", refused.exception.response.headers)


class Crowd(OneServer):
    flags = ("--reactors=4",)

    async def test_a_broadcast_reaches_everyone_on_every_reactor_once_and_in_order(self):
        receivers, messages = 40, 100
        crowd = [await client(self.server, "/broadcast") for _ in range(receivers)]
        for number in range(messages):
            await crowd[0].send(str(number))
        expected = [str(number) for number in range(messages)]
        for connection in crowd:
            self.assertEqual([await self.receive(connection) for _ in range(messages)], expected)
        await crowd[1].send("last")
        for connection in crowd:
            self.assertEqual(await self.receive(connection), "last", "and nothing before it twice")
        await asyncio.gather(*(connection.close() for connection in crowd))

    async def test_what_is_published_from_outside_is_told_to_all_and_counted(self):
        crowd = [await client(self.server, "/broadcast") for _ in range(10)]
        publish = "/publish?path=/broadcast"
        for body, content_type, expected in (
            ("gruß".encode(), "text/plain; charset=utf-8", "gruß"),
            (b'{"a":1}', "application/json", '{"a":1}'),
            (b"\x00\xff", "application/octet-stream", b"\x00\xff"),
        ):
            status, text = await asyncio.to_thread(self.server.ask, publish, body, content_type)
            self.assertEqual(status, 200, text)
            self.assertIn("10", text)
            for connection in crowd:
                self.assertEqual(await self.receive(connection), expected)
        await asyncio.gather(*(connection.close() for connection in crowd))

    async def test_a_thousand_connections_at_once_each_get_their_own_answers(self):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        count = 1000
        # As many at once as the event loop of one client can shake hands with in good time.
        gate = asyncio.Semaphore(100)

        async def open_one():
            async with gate:
                return await client(self.server, ping_interval=None)

        crowd = await asyncio.gather(*(open_one() for _ in range(count)))
        self.assertEqual(self.server.metric("ws_connections_active"), count)

        async def talk(number, connection):
            for turn in range(3):
                sent = f"{number}:{turn}"
                await connection.send(sent)
                self.assertEqual(await self.receive(connection), sent)

        await asyncio.gather(*(talk(number, one) for number, one in enumerate(crowd)))
        await asyncio.gather(*(connection.close() for connection in crowd))
        await self.eventually(
            lambda: self.server.metric("ws_connections_active") == 0, "all have left"
        )
