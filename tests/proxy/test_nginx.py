"""The server behind a real nginx with the configuration that `deploy/nginx` ships, by the `websockets`
package of Python. Needs `PULSEWHEEL`, and `tests/clients` among the folders of modules."""

import asyncio
import http.client
import os
import re
import socket
import ssl
import struct
import subprocess
import time
import tomllib
import unittest

from websockets.asyncio.client import connect
from websockets.exceptions import (
    ConnectionClosed,
    ConnectionClosedError,
    InvalidMessage,
    InvalidStatus,
)
from websockets.frames import CloseCode

from nginx import HTTP, SHIPPED, STREAM, Nginx, directives
from server import Server

PATIENCE = 20.0
TRUST = "--trust-proxy=127.0.0.1/32"
# Clients on loopback may have any address of 127.0.0.0/8; nginx itself comes from 127.0.0.1.
ALICE, BOB, CAROL, BALANCER = "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.9"


def seconds(duration):
    """A duration as nginx and the server write it, if it has one unit."""
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h)", duration).groups()
    return int(number) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[unit]


class Shipped(unittest.TestCase):
    """What is shipped, without running it."""

    def test_nginx_accepts_each_file(self):
        for shipped in (HTTP, STREAM):
            with self.subTest(shipped.name), Nginx(shipped, ["127.0.0.1:9001"]) as nginx:
                code, words = nginx.check()
                self.assertEqual(code, 0, words)
                self.assertNotIn("[warn]", words)

    def test_its_times_follow_from_the_servers_defaults(self):
        command = [os.environ["PULSEWHEEL"], "default-config"]
        said = subprocess.run(command, capture_output=True, check=True).stdout.decode()
        ours = tomllib.loads(said)
        ping, write = seconds(ours["ping_interval"]), seconds(ours["write_timeout"])
        for shipped, silence in ((HTTP, "proxy_read_timeout"), (STREAM, "proxy_timeout")):
            theirs = {words[0]: words[1] for words in directives(shipped) if len(words) == 2}
            self.assertGreaterEqual(seconds(theirs[silence]), 2 * ping, shipped.name)
            # It would cut every connection of the workers that a reload retires.
            self.assertNotIn("worker_shutdown_timeout", theirs)
        theirs = {words[0]: words[1] for words in directives(HTTP) if len(words) == 2}
        self.assertGreater(seconds(theirs["proxy_send_timeout"]), 2 * write)
        self.assertEqual(seconds(theirs["send_timeout"]), write)
        self.assertEqual(
            seconds(theirs["client_header_timeout"]), seconds(ours["handshake_timeout"])
        )

    def test_what_the_readme_shows_of_it_is_what_is_shipped(self):
        readme = (SHIPPED.parents[1] / "README.md").read_text()
        blocks = re.findall(r"```nginx\n(.*?)```", readme, re.DOTALL)
        self.assertEqual(len(blocks), 2)
        for block, shipped in zip(blocks, (HTTP, STREAM)):
            ours = re.sub(r"\s+", " ", re.sub(r"#.*", "", shipped.read_text()))
            for line in re.sub(r"#.*", "", block).splitlines():
                self.assertIn(" ".join(line.split()), ours)


class Running(unittest.IsolatedAsyncioTestCase):
    """Tests with an nginx before servers of their own."""

    shipped = HTTP
    flags = ()

    async def asyncSetUp(self):
        # The debug mode that unittest turns on reports every slow step of a loaded client.
        asyncio.get_running_loop().set_debug(False)

    def serve(self, *flags):
        return self.enterContext(Server(TRUST, *self.flags, *flags))

    def nginx(self, servers, *changes):
        addresses = [server.address for server in servers]
        return self.enterContext(Nginx(self.shipped, addresses, *changes)).start()

    def client(self, nginx, path="/echo", **options):
        """A connection through nginx, as an application would open it."""
        options.setdefault("compression", None)
        # The client itself takes a 503 for temporary and would try again.
        options.setdefault("process_exception", lambda problem: problem)
        scheme = "ws"
        if self.shipped == HTTP:
            scheme = "wss"
            options["ssl"] = ssl.create_default_context(cafile=nginx.certificate)
        if "local" in options:
            options["local_addr"] = (options.pop("local"), 0)
        url = f"{scheme}://{nginx.address}{path}"
        return connect(url, proxy=None, max_size=None, open_timeout=PATIENCE, **options)

    async def receive(self, connection):
        return await asyncio.wait_for(connection.recv(), PATIENCE)

    async def echoes(self, connection, sent="still here"):
        await connection.send(sent)
        self.assertEqual(await self.receive(connection), sent)

    async def is_refused(self, connecting, status):
        with self.assertRaises(InvalidStatus) as refused:
            await connecting
        self.assertEqual(refused.exception.response.status_code, status)
        return refused.exception.response

    async def is_told_1001(self, connection):
        with self.assertRaises(ConnectionClosed) as closed:
            await self.receive(connection)
        self.assertEqual(closed.exception.rcvd.code, CloseCode.GOING_AWAY)

    async def is_cut(self, connection):
        with self.assertRaises(ConnectionClosedError) as closed:
            await self.receive(connection)
        self.assertIsNone(closed.exception.rcvd, "no close frame came")

    async def eventually(self, condition, what):
        limit = time.monotonic() + PATIENCE
        while not await asyncio.to_thread(condition):
            self.assertLess(time.monotonic(), limit, f"not in time: {what}")
            await asyncio.sleep(0.02)

    async def says(self, server, words):
        await self.eventually(lambda: any(words in line for line in server.lines), words)


class Either:
    """What holds whichever way nginx takes; `silence` is the line of its read timeout."""

    async def test_messages_of_every_kind_come_back(self):
        server = self.serve()
        async with self.client(self.nginx([server])) as connection:
            for sent in ("", "héllo", os.urandom(1), os.urandom(70_000), os.urandom(1024 * 1024)):
                await self.echoes(connection, sent)
            await connection.send(iter(["one", "", "two"]))
            self.assertEqual(await self.receive(connection), "onetwo")

    async def test_heartbeats_keep_a_silent_client_beyond_the_read_timeout(self):
        # The pong timeout does not judge here: this is about who is cut by nginx.
        server = self.serve("--ping-interval=200ms", "--pong-timeout=off")
        nginx = self.nginx([server], (self.silence, self.shortened("1s")))
        async with self.client(nginx, ping_interval=None) as connection:
            await self.eventually(
                lambda: server.metric("ws_pongs_received_total") >= 11,
                "more than twice the read timeout has passed in heartbeats",
            )
            await self.echoes(connection)

    async def test_a_read_timeout_within_the_ping_interval_cuts_silent_clients(self):
        server = self.serve()
        nginx = self.nginx([server], (self.silence, self.shortened("300ms")))
        async with self.client(nginx, ping_interval=None) as connection:
            await self.echoes(connection)
            await self.is_cut(connection)
        await self.eventually(
            lambda: server.metric("ws_connections_active") == 0, "the server sees it go"
        )

    async def test_who_answers_no_ping_is_closed_through_nginx_too(self):
        server = self.serve("--ping-interval=200ms", "--pong-timeout=200ms")
        async with self.client(self.nginx([server]), ping_interval=None) as connection:
            connection.transport.pause_reading()
            closed = ("ws_connections_closed_total", {"reason": "pong_timeout"})
            await self.eventually(
                lambda: server.metric(closed[0], **closed[1]) == 1, "it is taken for dead"
            )
            connection.transport.resume_reading()
            await self.is_cut(connection)

    async def test_a_draining_server_tells_clients_1001_and_new_ones_go_to_another(self):
        leaving, staying = self.serve(), self.serve()
        nginx = self.nginx([leaving, staying])
        crowd = [await self.client(nginx) for _ in range(6)]
        shares = [server.metric("ws_connections_active") for server in (leaving, staying)]
        self.assertEqual(shares, [3, 3], "as least_conn says")
        readings = [asyncio.create_task(connection.recv()) for connection in crowd]
        leaving.drain()
        self.assertEqual(await asyncio.to_thread(leaving.exit_code), 0)
        await self.eventually(
            lambda: sum(reading.done() for reading in readings) == 3, "all of its clients were told"
        )
        for connection, reading in zip(crowd, readings):
            if reading.done():
                self.assertEqual(reading.exception().rcvd.code, CloseCode.GOING_AWAY)
            else:
                reading.cancel()
                await self.echoes(connection)
        for _ in range(6):
            await self.echoes(await self.client(nginx))
        self.assertEqual(staying.metric("ws_connections_active"), 9)

    async def test_a_reload_of_nginx_keeps_connections(self):
        server = self.serve()
        nginx = self.nginx([server])
        async with self.client(nginx) as before:
            await asyncio.to_thread(nginx.reload)
            async with self.client(nginx) as after:
                await self.echoes(before)
                await self.echoes(after)
                self.assertEqual(len(nginx.workers()), 2, "the old worker serves what it has")
        await self.eventually(lambda: len(nginx.workers()) == 1, "and then goes")

    async def test_a_limit_to_the_end_of_old_workers_would_cut_connections(self):
        server = self.serve()
        limit = ("worker_processes auto;", "worker_processes auto; worker_shutdown_timeout 100ms;")
        nginx = self.nginx([server], limit)
        async with self.client(nginx) as connection:
            await asyncio.to_thread(nginx.reload)
            await self.is_cut(connection)


class ThroughHttp(Either, Running):
    silence = "proxy_read_timeout 75s;"

    @staticmethod
    def shortened(time):
        return f"proxy_read_timeout {time};"

    def ask(self, nginx, path, **headers):
        """A request that is no upgrade; status, headers and text of the answer."""
        host, port = nginx.address.split(":")
        trusting = ssl.create_default_context(cafile=nginx.certificate)
        connection = http.client.HTTPSConnection(host, int(port), timeout=PATIENCE, context=trusting)
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()
        finally:
            connection.close()

    async def test_the_servers_own_answers_arrive_as_they_are(self):
        server = self.serve("--subprotocol=chat.v1", "--max-connections=1")
        nginx = self.nginx([server])
        status, _, text = await asyncio.to_thread(self.ask, nginx, "/")
        self.assertEqual((status, "/echo" in text), (200, True))
        status, headers, _ = await asyncio.to_thread(self.ask, nginx, "/echo")
        self.assertEqual((status, headers["Sec-WebSocket-Version"]), (426, "13"))
        await self.is_refused(self.client(nginx, "/nowhere"), 404)
        await self.eventually(lambda: server.metric("ws_slots_used") == 0, "there is room again")
        async with self.client(nginx, "/echo?a=b", subprotocols=["chat.v1"]) as connection:
            self.assertEqual(connection.subprotocol, "chat.v1")
            answer = await self.is_refused(self.client(nginx), 503)
            self.assertIn("all connections are taken", answer.body.decode())
            await self.echoes(connection)

    async def test_without_a_server_clients_are_told_when_to_come_back(self):
        server = self.serve()
        nginx = self.nginx([server])
        async with self.client(nginx) as connection:
            server.drain()
            await self.is_told_1001(connection)
        self.assertEqual(await asyncio.to_thread(server.exit_code), 0)
        answer = await self.is_refused(self.client(nginx), 503)
        self.assertEqual(answer.headers["Retry-After"], "2")

    async def test_pages_of_the_same_host_and_port_may_connect_and_others_not(self):
        nginx = self.nginx([self.serve()])
        async with self.client(nginx, origin=f"https://{nginx.address}") as connection:
            await self.echoes(connection)
        host = nginx.address.split(":")[0]
        for other in ("https://evil.example", f"https://{host}", f"https://{host}:1"):
            await self.is_refused(self.client(nginx, origin=other), 403)

    async def test_a_token_in_the_query_gets_into_no_log_of_nginx(self):
        nginx = self.nginx([self.serve()])
        async with self.client(nginx, "/echo?token=sesame") as connection:
            await self.echoes(connection)
        await self.eventually(
            lambda: " 101 /echo " in nginx.access_log.read_text(), "nginx has logged the upgrade"
        )
        self.assertNotIn("sesame", nginx.access_log.read_text() + nginx.log())

    async def test_limits_count_the_clients_address_and_a_forged_one_changes_nothing(self):
        server = self.serve("--max-connections-per-ip=1", "--log-level=debug")
        nginx = self.nginx([server])
        async with self.client(nginx, local=ALICE), self.client(nginx, local=BOB):
            for forged in ({}, {"X-Forwarded-For": CAROL}, {"Forwarded": f"for={CAROL}"}):
                again = self.client(nginx, local=ALICE, additional_headers=forged)
                await self.is_refused(again, 429)
            # Nor does it take another's place.
            forged = {"X-Forwarded-For": BALANCER}
            async with self.client(nginx, local=CAROL, additional_headers=forged):
                async with self.client(nginx, local=BALANCER):
                    pass
        for address in (ALICE, BOB, CAROL, BALANCER):
            await self.says(server, f"closed peer={address}:0 path=/echo")

    async def test_a_server_that_trusts_nobody_takes_nginx_for_the_client(self):
        server = self.enterContext(Server("--max-connections-per-ip=1"))
        nginx = self.nginx([server])
        async with self.client(nginx, local=ALICE):
            await self.is_refused(self.client(nginx, local=BOB), 429)

    async def test_behind_another_balancer_its_word_counts_and_no_one_elses(self):
        server = self.serve("--log-level=debug")
        nginx = self.nginx(
            [server],
            ("#set_real_ip_from 10.0.0.0/8;", f"set_real_ip_from {BALANCER};"),
            ("#real_ip_header", "real_ip_header"),
            ("#real_ip_recursive", "real_ip_recursive"),
        )
        brought = {"X-Forwarded-For": "203.0.113.66, 198.51.100.7"}
        for local in (BALANCER, ALICE):
            async with self.client(nginx, local=local, additional_headers=brought) as connection:
                await self.echoes(connection)
        for address in ("198.51.100.7", ALICE):
            await self.says(server, f"closed peer={address}:0 path=/echo")

    async def test_over_a_unix_socket_clients_are_told_apart_as_well(self):
        nginx = self.enterContext(Nginx(HTTP, ["unix:{}"]))
        path = nginx.folder / "ws.sock"
        nginx.configuration.write_text(nginx.configuration.read_text().replace("unix:{}", f"unix:{path}"))
        flags = (f"--listen=unix:{path}", "--trust-proxy=unix", "--max-connections-per-ip=1")
        server = self.serve(*flags, "--log-level=debug")
        nginx.start()
        async with self.client(nginx, local=ALICE) as alice, self.client(nginx, local=BOB):
            await self.echoes(alice)
            await self.is_refused(self.client(nginx, local=ALICE), 429)
        await self.says(server, f"closed peer={ALICE}:0 path=/echo")


def binary_header(client, server):
    """A PROXY header of version 2 for TCP over IPv4."""
    addresses = socket.inet_aton(client[0]) + socket.inet_aton(server[0])
    ports = struct.pack("!HH", client[1], server[1])
    return b"\r\n\r\n\0\r\nQUIT\n" + struct.pack("!BBH", 0x21, 0x11, 12) + addresses + ports


class ThroughStream(Either, Running):
    shipped = STREAM
    flags = ("--proxy-protocol",)
    silence = "proxy_timeout 75s;"

    @staticmethod
    def shortened(time):
        return f"proxy_timeout {time};"

    async def begun(self, nginx, local, header):
        """A connection that begins with these bytes before its request."""
        host, port = nginx.address.split(":")
        raw = socket.create_connection((host, int(port)), PATIENCE, (local, 0))
        raw.sendall(header)
        raw.setblocking(False)
        return await self.client(nginx, sock=raw)

    async def test_limits_count_the_clients_address_and_the_log_has_its_port(self):
        server = self.serve("--max-connections-per-ip=1", "--log-level=debug")
        nginx = self.nginx([server])
        async with self.client(nginx, local=ALICE) as alice, self.client(nginx, local=BOB):
            _, port = alice.local_address
            forged = {"X-Forwarded-For": CAROL}
            again = self.client(nginx, local=ALICE, additional_headers=forged)
            await self.is_refused(again, 429)
        await self.says(server, f"closed peer={ALICE}:{port} path=/echo")

    async def test_a_client_that_writes_a_header_of_its_own_is_refused(self):
        nginx = self.nginx([self.serve()])
        forged = (
            f"PROXY TCP4 {CAROL} 127.0.0.1 4711 80\r\n".encode(),
            binary_header((CAROL, 4711), ("127.0.0.1", 80)),
        )
        for header in forged:
            await self.is_refused(self.begun(nginx, ALICE, header), 400)

    async def test_behind_another_balancer_its_header_of_either_version_counts(self):
        server = self.serve("--log-level=debug")
        nginx = self.nginx(
            [server],
            ("backlog=4096", "backlog=4096 proxy_protocol"),
            ("#set_real_ip_from 10.0.0.0/8;", f"set_real_ip_from {BALANCER};"),
        )
        headers = (
            b"PROXY TCP4 198.51.100.7 127.0.0.1 4711 443\r\n",
            binary_header(("198.51.100.8", 4712), ("127.0.0.1", 443)),
        )
        for header in headers:
            async with await self.begun(nginx, BALANCER, header) as connection:
                await self.echoes(connection)
        stranger = await self.begun(nginx, ALICE, headers[0])
        _, port = stranger.local_address
        await stranger.close()
        for client in ("198.51.100.7:4711", "198.51.100.8:4712", f"{ALICE}:{port}"):
            await self.says(server, f"closed peer={client} path=/echo")

    async def test_without_a_server_connections_are_closed_without_a_word(self):
        server = self.serve()
        nginx = self.nginx([server])
        server.drain()
        self.assertEqual(await asyncio.to_thread(server.exit_code), 0)
        with self.assertRaises((InvalidMessage, OSError)):
            await self.client(nginx)


if __name__ == "__main__":
    unittest.main()
