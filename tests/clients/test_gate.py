"""Who may come in, as seen by the `websockets` package: origins, tokens of PyJWT, limits, proxies."""

import asyncio
import json
import secrets
import socket
import struct
import tempfile
import time

from websockets.exceptions import ConnectionClosed, InvalidStatus

import tokens
from server import Server
from test_websockets import PATIENCE, OneServer, client


class Gate(OneServer):
    """What the tests of this file share."""

    def setUp(self):
        super().setUp()
        self.folder = self.enterContext(tempfile.TemporaryDirectory())

    def file(self, name, content):
        return tokens.private_file(self.folder, name, content)

    async def assert_open(self, connection):
        await connection.send("hello")
        self.assertEqual(await self.receive(connection), "hello")

    async def assert_in(self, server, path="/echo", **options):
        async with client(server, path, **options) as connection:
            await self.assert_open(connection)

    async def refusal(self, server, path="/echo", **options):
        """The answer to who is not let in."""
        # The client itself takes some answers for temporary and would try again.
        options.setdefault("process_exception", lambda problem: problem)
        with self.assertRaises(InvalidStatus) as refused:
            await client(server, path, **options)
        return refused.exception.response

    async def assert_refused(self, status, server, path="/echo", **options):
        answer = await self.refusal(server, path, **options)
        self.assertEqual(answer.status_code, status, answer.body)
        return answer


def bearer(token):
    return {"additional_headers": {"Authorization": f"Bearer {token}"}}


class Origins(Gate):
    async def test_a_page_of_another_site_cannot_ride_on_its_visitors_cookies(self):
        visitor = {"additional_headers": {"Cookie": "session=the-visitors-own"}}
        with Server("--allow-origin=*") as careless:
            await self.assert_in(careless, origin="https://evil.test", **visitor)
        answer = await self.assert_refused(403, self.server, origin="https://evil.test", **visitor)
        self.assertIn(b"origin", answer.body)
        await self.assert_in(self.server, origin=f"http://{self.server.address}", **visitor)

    async def test_a_list_of_origins_and_one_that_is_required(self):
        flags = ["--allow-origin=https://a.test", "--allow-origin=https://*.b.test"]
        with Server(*flags, "--require-origin") as server:
            for origin in ("https://a.test", "https://x.b.test"):
                await self.assert_in(server, origin=origin)
            for origin in ("http://a.test", "https://b.test", "https://a.test.evil.test", None):
                await self.assert_refused(403, server, origin=origin)


class Tokens(Gate):
    def guarded(self, *flags):
        """A server that asks for tokens, and the secret that signs them."""
        secret = secrets.token_urlsafe(48).encode()
        file = self.file("secret", secret)
        return self.enterContext(Server("--auth=jwt", f"--jwt-secret-file={file}", *flags)), secret

    async def test_a_token_may_stand_in_each_of_three_places(self):
        server, secret = self.guarded()
        token = tokens.sign(secret, "HS256")
        await self.assert_in(server, **bearer(token))
        await self.assert_in(server, f"/echo?token={token}")
        # As a page does it: this client too fails when none of those it offered is selected.
        async with client(server, subprotocols=[f"bearer.{token}", "chat"]) as connection:
            self.assertEqual(connection.subprotocol, "chat")
            await self.assert_open(connection)
        answer = await self.assert_refused(401, server)
        self.assertEqual(answer.headers["WWW-Authenticate"], 'Bearer realm="pulsewheel"')
        flags = ("--auth=jwt", f"--jwt-secret-file={self.folder}/secret", "--token-from=header")
        with Server(*flags) as one:
            await self.assert_in(one, **bearer(token))
            await self.assert_refused(401, one, f"/echo?token={token}")
            await self.assert_refused(401, one, subprotocols=[f"bearer.{token}", "chat"])

    async def test_secrets_of_every_hash_and_no_other_hash(self):
        secret = secrets.token_bytes(64)
        file = self.file("long", secret)
        hashes = ("HS256", "HS384", "HS512")
        for pinned in hashes:
            flags = ("--auth=jwt", f"--jwt-secret-file={file}", f"--jwt-algorithm={pinned}")
            with Server(*flags) as server:
                for used in hashes:
                    token = tokens.sign(secret, used)
                    if used == pinned:
                        await self.assert_in(server, **bearer(token))
                    else:
                        await self.assert_refused(401, server, **bearer(token))

    async def test_public_keys_of_every_kind_check_what_their_private_ones_sign(self):
        for algorithm, key in tokens.PRIVATE.items():
            file = self.file("key.pem", tokens.public_pem(algorithm))
            with Server("--auth=jwt", f"--jwt-public-key-file={file}") as server:
                await self.assert_in(server, **bearer(tokens.sign(key, algorithm)))
                # With a public key anyone could sign, were it taken for a secret.
                forged = tokens.signed_with_a_public_key(algorithm)
                await self.assert_refused(401, server, **bearer(forged))
                for other, stranger in tokens.PRIVATE.items():
                    if other != algorithm:
                        wrong = tokens.sign(stranger, other)
                        await self.assert_refused(401, server, **bearer(wrong))

    async def test_a_set_of_keys_is_searched_by_kid(self):
        keys = [tokens.jwk(algorithm, f"key of {algorithm}") for algorithm in tokens.PRIVATE]
        file = self.file("jwks.json", json.dumps({"keys": keys}).encode())
        with Server("--auth=jwt", f"--jwt-jwks-file={file}") as server:
            for algorithm, key in tokens.PRIVATE.items():
                right = tokens.sign(key, algorithm, kid=f"key of {algorithm}")
                await self.assert_in(server, **bearer(right))
                for kid in (None, "key of nobody", "key of HS256"):
                    wrong = tokens.sign(key, algorithm, kid=kid)
                    await self.assert_refused(401, server, **bearer(wrong))
            swapped = tokens.sign(tokens.PRIVATE["RS256"], "RS256", kid="key of ES256")
            await self.assert_refused(401, server, **bearer(swapped))

    async def test_bad_tokens_are_refused_and_told_why(self):
        server, secret = self.guarded(*"--jwt-audience=chat --jwt-issuer=me --log-level=trace".split())
        good = {"aud": ["chat", "mail"], "iss": "me"}
        await self.assert_in(server, **bearer(tokens.sign(secret, "HS256", **good)))

        def but(**changed):
            return tokens.sign(secret, "HS256", **{**good, **changed})

        unsigned = tokens.jwt.encode(tokens.claims(**good), None, algorithm="none")
        signed, other = but(), but(sub="ada")
        mixed = signed.rpartition(".")[0] + "." + other.rpartition(".")[2]
        for token, why in (
            (but(exp=time.time() - 1), "has expired"),
            (but(nbf=time.time() + 60), "not valid yet"),
            (but(aud="mail"), "another audience"),
            (but(iss="you"), "another issuer"),
            (unsigned, "unknown algorithm"),
            (tokens.sign(secret, "HS512", **good), "not accepted"),
            (tokens.sign(secrets.token_bytes(48), "HS256", **good), "signature"),
            (mixed, "signature"),
            (signed.rpartition(".")[0], "malformed"),
        ):
            answer = await self.assert_refused(401, server, **bearer(token))
            self.assertIn(why, answer.headers["WWW-Authenticate"])
            self.assertIn('error="invalid_token"', answer.headers["WWW-Authenticate"])
            self.assertNotIn(token.encode(), answer.body)
        oversize = but(more="x" * 16_000)
        await self.assert_refused(431, server, **bearer(oversize))
        told = "".join(server.lines) + server.ask("/metrics")[1]
        for kept in (signed, unsigned, oversize, secret.decode()):
            self.assertNotIn(kept, told)

    async def test_a_path_may_require_a_claim(self):
        server, secret = self.guarded("--require-claim=/broadcast=role=admin")
        for role, status in ((["user", "admin"], 101), (["user"], 403), (None, 403)):
            options = bearer(tokens.sign(secret, "HS256", role=role))
            if status == 101:
                await self.assert_in(server, "/broadcast", **options)
            else:
                answer = await self.assert_refused(status, server, "/broadcast", **options)
                self.assertIn("insufficient_scope", answer.headers["WWW-Authenticate"])
            await self.assert_in(server, **options)

    async def test_a_connection_ends_with_1008_when_its_token_does(self):
        server, secret = self.guarded()
        expires = time.time() + 1.5
        async with client(server, **bearer(tokens.sign(secret, "HS256", exp=expires))) as one:
            await self.assert_open(one)
            with self.assertRaises(ConnectionClosed) as closed:
                await self.receive(one)
            self.assertGreaterEqual(time.time(), expires - 0.02)
            self.assertEqual(closed.exception.rcvd.code, 1008)
            self.assertEqual(closed.exception.rcvd.reason, "the token has expired")

    async def test_a_user_has_so_many_connections(self):
        server, secret = self.guarded("--max-connections-per-user=2")
        ada, bob = (bearer(tokens.sign(secret, "HS256", sub=sub)) for sub in ("ada", "bob"))
        async with client(server, **ada), client(server, **ada) as second:
            answer = await self.assert_refused(429, server, **ada)
            self.assertGreaterEqual(int(answer.headers["Retry-After"]), 1)
            await self.assert_in(server, **bob)
            await self.assert_open(second)

    async def test_the_oldest_of_a_user_gives_way_with_1008(self):
        flags = ("--max-connections-per-user=2", "--user-limit-policy=replace", "--reactors=4")
        server, secret = self.guarded(*flags)
        ada = bearer(tokens.sign(secret, "HS256", sub="ada"))
        crowd = [await client(server, **ada) for _ in range(5)]
        for gone in crowd[:3]:
            with self.assertRaises(ConnectionClosed) as closed:
                await self.receive(gone)
            self.assertEqual(closed.exception.rcvd.code, 1008)
        for one in crowd[3:]:
            await self.assert_open(one)
            await one.close()


class Limits(Gate):
    flags = ("--max-connections-per-ip=2",)

    async def test_an_address_has_so_many_connections_and_others_are_not_touched(self):
        async with client(self.server), client(self.server):
            answer = await self.assert_refused(429, self.server)
            self.assertGreaterEqual(int(answer.headers["Retry-After"]), 1)
            await self.assert_in(self.server, local_addr=("127.0.0.2", 0))
        await self.eventually(
            lambda: self.server.metric("ws_connections_active") == 0, "all have left"
        )
        await self.assert_in(self.server)

    async def test_an_address_that_comes_too_fast_is_told_when_to_come_back(self):
        with Server("--connect-rate-per-ip=1/m:3") as server:
            for _ in range(3):
                await self.assert_in(server)
            answer = await self.assert_refused(429, server)
            self.assertIn(int(answer.headers["Retry-After"]), range(1, 62))
            await self.assert_in(server, local_addr=("127.0.0.3", 0))

    async def test_beyond_the_rate_of_all_each_is_told_a_time_and_who_is_in_stays(self):
        with Server("--connect-rate=2/s:5") as server:
            async with client(server) as early:
                answers = []
                for _ in range(30):
                    try:
                        await self.assert_in(server, process_exception=lambda problem: problem)
                    except InvalidStatus as refused:
                        answers.append(refused.response)
                self.assertGreater(len(answers), 15)
                for answer in answers:
                    self.assertEqual(answer.status_code, 503)
                    self.assertGreaterEqual(int(answer.headers["Retry-After"]), 1)
                await self.assert_open(early)


class Proxies(Gate):
    flags = ("--trust-proxy=127.0.0.2/32", "--max-connections-per-ip=1")
    proxy = {"local_addr": ("127.0.0.2", 0)}

    async def test_a_trusted_proxy_names_the_client_and_a_stranger_names_nobody(self):
        def client_of(address):
            return {"additional_headers": {"X-Forwarded-For": address}}

        first, second = client_of("192.0.2.1"), client_of("evil.test, 192.0.2.2")
        async with client(self.server, **self.proxy, **first):
            await self.assert_refused(429, self.server, **self.proxy, **first)
            await self.assert_in(self.server, **self.proxy, **second)
        proxied = {"source": "x_forwarded_for"}
        count = self.server.metric("ws_proxied_connections_total", **proxied)
        self.assertEqual(count, 3, "who is refused has been named too")
        # Each time another address, and counted as one all the same: the socket's own.
        async with client(self.server, **client_of("192.0.2.7")):
            await self.assert_refused(429, self.server, **client_of("192.0.2.8"))
        self.assertEqual(self.server.metric("ws_proxied_connections_total", **proxied), count)

    async def test_the_other_header_is_looked_at_where_it_is_the_chosen_one(self):
        def client_of(port):
            value = f'for="[2001:db8::1]:{port}";proto=https'
            headers = {"Forwarded": value, "X-Forwarded-For": f"192.0.2.{port}"}
            return {"additional_headers": headers}

        with Server(*self.flags, "--forwarded-header=forwarded") as server:
            async with client(server, **self.proxy, **client_of(1)):
                await self.assert_refused(429, server, **self.proxy, **client_of(2))

    async def test_proxy_headers_of_both_versions_name_the_client(self):
        def through(server, header, source):
            stream = socket.create_connection(
                server.address.rsplit(":", 1), PATIENCE, source_address=(source, 0)
            )
            stream.sendall(header)
            return {"sock": stream}

        def version_2(address):
            body = socket.inet_aton(address) + socket.inet_aton("127.0.0.1")
            body += struct.pack("!HH", 4000, 443)
            start = b"\r\n\r\n\0\r\nQUIT\n\x21\x11"
            return start + struct.pack("!H", len(body)) + body

        version_1 = b"PROXY TCP4 192.0.2.1 127.0.0.1 4000 443\r\n"
        with Server(*self.flags, "--proxy-protocol") as server:
            async with client(server, **through(server, version_1, "127.0.0.2")) as one:
                await self.assert_open(one)
                same = version_2("192.0.2.1")
                await self.assert_refused(429, server, **through(server, same, "127.0.0.2"))
                other = version_2("192.0.2.2")
                await self.assert_in(server, **through(server, other, "127.0.0.2"))
                # A stranger's header is no HTTP, and without one it is a client like any.
                await self.assert_refused(400, server, **through(server, version_1, "127.0.0.3"))
                await self.assert_in(server, **through(server, b"", "127.0.0.4"))
