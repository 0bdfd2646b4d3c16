"""TLS as seen by Python's `ssl`, which is OpenSSL, below the `websockets` package, and by the
`openssl` program."""

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import tempfile
import unittest
import warnings

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from certificates import KEYS, Authority
from server import Server
from test_websockets import PATIENCE, SIZES, OneServer

VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
CIPHERS_OF_1_2 = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
)
CIPHERS_OF_1_3 = (
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
)
REQUEST = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"


class Secure(OneServer):
    """Tests that need a server with a certificate for `a.test` and these flags."""

    def setUp(self):
        self.folder = self.enterContext(tempfile.TemporaryDirectory())
        self.authority = Authority(self.folder)
        self.pair = self.authority.issue("a.test", "127.0.0.1")
        self.server = self.enterContext(Server(*self.pair.flags(), *self.flags))

    def context(self, version=None, authority=None):
        """What a client trusts, and which version it speaks."""
        context = ssl.create_default_context(cafile=(authority or self.authority).file)
        if version:
            context.minimum_version = context.maximum_version = VERSIONS[version]
        return context

    def client(self, path="/echo", server=None, context=None, name="a.test", **options):
        """A WebSocket over TLS, to the server by this name."""
        options.setdefault("compression", None)
        options.setdefault("process_exception", lambda problem: problem)
        return connect(
            f"wss://{(server or self.server).address}{path}",
            ssl=context or self.context(),
            server_hostname=name,
            max_size=None,
            proxy=None,
            open_timeout=PATIENCE,
            **options,
        )

    def stream(self, context=None, name="a.test", server=None, session=None):
        """A TLS stream that takes an end without close_notify for what it is: cut off."""
        where = (server or self.server).address.rsplit(":", 1)
        plain = socket.create_connection(where, PATIENCE)
        return (context or self.context()).wrap_socket(
            plain, server_hostname=name, suppress_ragged_eofs=False, session=session
        )

    def names(self, server, name, context=None):
        """The hosts in the certificate that is shown to who asks for this one."""
        context = context or self.context()
        context.check_hostname = False
        with self.stream(context, name, server) as stream:
            return [host for _, host in stream.getpeercert()["subjectAltName"]]

    async def assert_echo(self, connection, sent):
        await connection.send(sent)
        self.assertEqual(await self.receive(connection), sent)


def tls_of(connection):
    return connection.transport.get_extra_info("ssl_object")


class Messages(Secure):
    async def test_messages_of_every_size_come_back_in_both_versions(self):
        for version in VERSIONS:
            async with self.client(context=self.context(version)) as connection:
                self.assertEqual(tls_of(connection).version(), version)
                for size in SIZES:
                    await self.assert_echo(connection, os.urandom(size))
                await self.assert_echo(connection, "gruß " * 100_000)
        told = f"TLS (wss://, https://) on {self.server.address}"
        self.assertTrue(any(told in line for line in self.server.lines), self.server.lines)

    async def test_messages_in_fragments_and_thousands_at_once_keep_their_order(self):
        async with self.client() as connection:
            pieces = [os.urandom(size) for size in (1, 125, 16_384, 65_536, 0, 7)]
            await connection.send(iter(pieces))
            self.assertEqual(await self.receive(connection), b"".join(pieces))

            async def send_all():
                for number in range(3000):
                    await connection.send(str(number))

            sending = asyncio.create_task(send_all())
            for number in range(3000):
                self.assertEqual(await self.receive(connection), str(number))
            await sending

    async def test_every_cipher_of_1_2(self):
        for cipher in CIPHERS_OF_1_2:
            context = self.context("TLSv1.2")
            context.set_ciphers(cipher)
            async with self.client(context=context) as connection:
                self.assertEqual(tls_of(connection).cipher()[0], cipher)
                await self.assert_echo(connection, os.urandom(100_000))

    async def test_a_broadcast_reaches_everyone_over_tls(self):
        crowd = [await self.client("/broadcast") for _ in range(30)]
        for number in range(50):
            await crowd[0].send(str(number))
        for connection in crowd:
            for number in range(50):
                self.assertEqual(await self.receive(connection), str(number))
        await asyncio.gather(*(connection.close() for connection in crowd))


class Life(Secure):
    flags = ("--ping-interval=300ms", "--pong-timeout=300ms", "--reactors=2")

    async def test_a_client_that_only_answers_pings_stays_and_one_that_does_not_is_reset(self):
        async with self.client(ping_interval=None) as connection:
            silent = self.stream()
            silent.sendall(
                b"GET /echo HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            with self.assertRaises(OSError):
                while await asyncio.to_thread(silent.recv, 4096):
                    pass
            silent.close()
            await self.eventually(
                lambda: self.server.metric("ws_pongs_received_total") >= 4, "four heartbeats"
            )
            await self.assert_echo(connection, "still here")

    async def test_close_codes_and_a_drain_arrive(self):
        for code in (1000, 1001, 3000, 4999):
            connection = await self.client()
            await connection.close(code, "enough")
            self.assertEqual(connection.protocol.close_rcvd.code, code)
        async with self.client() as connection:
            self.server.drain()
            with self.assertRaises(ConnectionClosed) as closed:
                await self.receive(connection)
            self.assertEqual(closed.exception.rcvd.code, 1001)
        self.assertEqual(await asyncio.to_thread(self.server.exit_code), 0)

    def test_the_end_of_an_answer_is_told_by_close_notify(self):
        for version in VERSIONS:
            with self.stream(self.context(version)) as stream:
                stream.sendall(REQUEST)
                answer = b""
                while received := stream.recv(4096):
                    answer += received
                self.assertTrue(answer.startswith(b"HTTP/1.1 200 "), answer)

    def test_plain_http_is_told_that_this_port_speaks_tls(self):
        with socket.create_connection(self.server.address.rsplit(":", 1), PATIENCE) as plain:
            plain.sendall(REQUEST)
            answer = b""
            while received := plain.recv(4096):
                answer += received
        self.assertTrue(answer.startswith(b"HTTP/1.1 400 "), answer)
        self.assertIn(b"TLS", answer)
        self.assertEqual(self.server.ask("/healthz")[0], 200, "the admin port stays plain")


class Handshakes(Secure):
    def test_http_1_1_is_what_is_spoken_inside(self):
        for version in VERSIONS:
            for offered, chosen in ((["h2", "http/1.1"], "http/1.1"), ([], None)):
                context = self.context(version)
                if offered:
                    context.set_alpn_protocols(offered)
                with self.stream(context) as stream:
                    self.assertEqual(stream.selected_alpn_protocol(), chosen)
            context = self.context(version)
            context.set_alpn_protocols(["h2"])
            with self.assertRaises(ssl.SSLError) as refused:
                self.stream(context)
            self.assertIn("alert no application protocol", str(refused.exception))

    def test_who_does_not_know_the_authority_or_asks_for_another_host_does_not_trust(self):
        stranger = Authority(self.folder, "stranger")
        for version in VERSIONS:
            with self.assertRaises(ssl.SSLCertVerificationError):
                self.stream(self.context(version, stranger))
            with self.assertRaises(ssl.SSLCertVerificationError):
                self.stream(self.context(version), "b.test")
        with self.stream(name="127.0.0.1") as stream:
            stream.sendall(REQUEST)
            self.assertTrue(stream.recv(12).startswith(b"HTTP/1.1 200"))

    def test_old_versions_are_refused(self):
        context = self.context()
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        with self.assertRaises(ssl.SSLError) as refused:
            self.stream(context)
        self.assertIn(" alert ", str(refused.exception), "it is the server that refuses")

    def test_one_of_several_certificates_is_shown_by_name(self):
        wild = self.authority.issue("b.test", "*.c.test")
        exact = self.authority.issue("exact.c.test")
        flags = (*self.pair.flags(), *wild.flags(), *exact.flags())
        with Server(*flags) as server:
            first, second = ["a.test", "127.0.0.1"], ["b.test", "*.c.test"]
            for version in VERSIONS:
                for name, expected in (
                    ("a.test", first),
                    ("b.test", second),
                    ("any.c.test", second),
                    ("exact.c.test", ["exact.c.test"]),
                    ("c.test", first),
                    ("unknown.test", first),
                    ("127.0.0.1", first),
                    (None, first),
                ):
                    shown = self.names(server, name, self.context(version))
                    self.assertEqual(shown, expected, f"{name} {version}")
            for name in ("a.test", "b.test", "some.c.test", "exact.c.test"):
                # Its host is checked against what is shown.
                self.stream(name=name, server=server).close()

    def test_keys_of_every_form_serve(self):
        for form in KEYS:
            pair = self.authority.issue("a.test", key=form)
            with Server(*pair.flags()) as server:
                for version in VERSIONS:
                    with self.stream(self.context(version), server=server) as stream:
                        self.assertEqual(stream.version(), version, form)

    def test_sessions_resume_on_whichever_reactor(self):
        with Server(*self.pair.flags(), "--reactors=4") as server:
            for version in VERSIONS:
                context = self.context(version)
                session = None
                for turn in range(12):
                    with self.stream(context, server=server, session=session) as stream:
                        stream.sendall(REQUEST)
                        stream.recv(4096)
                        self.assertEqual(stream.session_reused, turn > 0, f"{version} {turn}")
                        session = stream.session


class Rotation(Secure):
    flags = ("--reactors=2",)

    async def reload(self, line):
        seen = len(self.server.lines)
        self.server.process.send_signal(signal.SIGHUP)
        await self.eventually(
            lambda: any(line in told for told in self.server.lines[seen:]), f"the log says {line}"
        )

    def serial(self, **more):
        with self.stream(**more) as stream:
            return stream.getpeercert()["serialNumber"]

    async def test_who_is_connected_talks_on_and_newcomers_see_the_new_certificate(self):
        crowd = [await self.client() for _ in range(40)]
        stop = asyncio.Event()

        async def talk(connection):
            turns = 0
            while not stop.is_set():
                await self.assert_echo(connection, os.urandom(1000))
                turns += 1
            return turns

        async def come_and_go():
            serials = set()
            while not stop.is_set():
                async with self.client() as connection:
                    serials.add(tls_of(connection).getpeercert()["serialNumber"])
                    await self.assert_echo(connection, "hello")
            return serials

        talking = [asyncio.create_task(talk(connection)) for connection in crowd]
        newcomers = asyncio.create_task(come_and_go())
        first = await asyncio.to_thread(self.serial)
        shown = [first]
        for _ in range(3):
            self.pair.replace_by(self.authority.issue("a.test"))
            await self.reload("holds another certificate")
            serial = await asyncio.to_thread(self.serial)
            self.assertNotIn(serial, shown, "newcomers see another one")
            shown.append(serial)
        self.assertEqual(self.server.metric("ws_connections_closed_total", reason="tls_error"), 0)

        # A certificate that is cut off, a key of another one: what is in use stays.
        with open(self.pair.certificate) as file:
            good = file.read()
        for broken in (good[:300], ""):
            with open(self.pair.certificate, "w") as file:
                file.write(broken)
            await self.reload("everything stays as it was")
            self.assertEqual(await asyncio.to_thread(self.serial), shown[-1])
        with open(self.pair.certificate, "w") as file:
            file.write(good)
        os.replace(self.authority.issue("a.test").key, self.pair.key)
        await self.reload("is not that of the first certificate")
        self.assertEqual(await asyncio.to_thread(self.serial), shown[-1])
        self.assertEqual(self.server.metric("ws_reloads_total", result="taken"), 3)
        self.assertEqual(self.server.metric("ws_reloads_total", result="refused"), 3)

        stop.set()
        self.assertTrue(all(turns > 3 for turns in await asyncio.gather(*talking)))
        self.assertLessEqual(await newcomers, set(shown))
        for connection in crowd:
            self.assertEqual(tls_of(connection).getpeercert()["serialNumber"], first)
            await self.assert_echo(connection, "still here")
            await connection.close()

    async def test_tickets_of_before_are_good_after_a_reload(self):
        for version in VERSIONS:
            context = self.context(version)
            with self.stream(context) as stream:
                stream.sendall(REQUEST)
                stream.recv(4096)
                session = stream.session
            self.pair.replace_by(self.authority.issue("a.test"))
            await self.reload("holds another certificate")
            with self.stream(context, session=session) as stream:
                self.assertTrue(stream.session_reused, version)

    async def test_the_end_of_the_certificate_in_use_is_a_metric(self):
        name = "ws_tls_certificate_expiry_timestamp_seconds"

        def expected():
            with self.stream() as stream:
                return ssl.cert_time_to_seconds(stream.getpeercert()["notAfter"])

        self.assertEqual(self.server.metric(name), await asyncio.to_thread(expected))

    async def test_tls_is_not_turned_off_by_a_reload(self):
        config = os.path.join(self.folder, "config.toml")

        def write(certificates):
            with open(config, "w") as file:
                if certificates:
                    file.write(f'tls_cert = ["{self.pair.certificate}"]\n')
                    file.write(f'tls_key = ["{self.pair.key}"]\n')

        write(True)
        with Server(f"--config={config}") as server:
            self.server = server
            write(False)
            await self.reload("tls-cert")
            self.assertTrue(any("needs a restart" in line for line in server.lines))
            async with self.client(server=server) as connection:
                await self.assert_echo(connection, "still over TLS")


class Program(Secure):
    """The `openssl` program, which can do what Python's module can't."""

    def s_client(self, *arguments, commands=()):
        """What it prints when it is typed these commands, each once the one before has been obeyed,
        and then a request."""
        where = ("-connect", self.server.address, "-servername", "a.test")
        trust = ("-CAfile", self.authority.file, "-verify_return_error")
        command = ["openssl", "s_client", *where, *trust, *arguments]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            printed = b""

            def type_and_wait(text, answer):
                nonlocal printed
                os.write(process.stdin.fileno(), text)
                seen = len(printed)
                while answer not in printed[seen:]:
                    received = os.read(process.stdout.fileno(), 4096)
                    if not received:
                        break
                    printed += received

            for letter, obeyed in commands:
                type_and_wait(letter + b"\n", obeyed)
            type_and_wait(REQUEST, b"closed\n")
        return printed.decode(errors="replace")

    def test_every_cipher_of_1_3(self):
        for cipher in CIPHERS_OF_1_3:
            printed = self.s_client("-tls1_3", "-ciphersuites", cipher, "-ign_eof")
            self.assertIn(f"Cipher is {cipher}", printed)
            self.assertIn("Verify return code: 0 (ok)", printed)
            self.assertIn("HTTP/1.1 200 OK", printed)

    def test_keys_are_updated_when_asked_to(self):
        # A K on a line of its own has both sides take new keys, a k the client alone.
        updates = [(b"K", b"KEYUPDATE"), (b"k", b"KEYUPDATE")]
        printed = self.s_client("-tls1_3", commands=updates * 3)
        self.assertEqual(printed.count("KEYUPDATE"), 6)
        self.assertIn("HTTP/1.1 200 OK", printed)

    def test_nothing_is_negotiated_anew(self):
        # An R asks for it, which TLS 1.2 had.
        printed = self.s_client("-tls1_2", commands=[(b"R", b"RENEGOTIATING")])
        self.assertIn("no renegotiation", printed)
        self.assertNotIn("HTTP/1.1 200 OK", printed)


if __name__ == "__main__":
    unittest.main()
