// TLS as seen by the `ws` package of Node.js, with certificates that the `openssl` program makes.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import WebSocket from "ws";

import { keep } from "./client.mjs";
import { startServer } from "./server.mjs";

const LIMIT = 1024 * 1024;
const SIZES = [0, 1, 125, 126, 16_384, 16_385, 65_535, 65_536, 300_000, LIMIT - 1, LIMIT];
const PATIENCE = { timeout: 60_000 };
const VERSIONS = ["TLSv1.2", "TLSv1.3"];

/** A certificate that signs itself, for `a.test`, and its key, each in a file. */
function selfSigned(test) {
  const folder = mkdtempSync(join(tmpdir(), "pulsewheel-"));
  test.after(() => rmSync(folder, { recursive: true }));
  const [certificate, key] = [join(folder, "certificate"), join(folder, "key")];
  const request =
    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=a.test " +
    "-addext subjectAltName=DNS:a.test";
  const files = ["-keyout", key, "-out", certificate];
  execFileSync("openssl", [...request.split(" "), ...files], { stdio: "ignore" });
  return { certificate, key, flags: [`--tls-cert=${certificate}`, `--tls-key=${key}`] };
}

/** A server that speaks TLS, and what its clients trust. */
async function secure(test, ...flags) {
  const pair = selfSigned(test);
  const server = await startServer(test, ...pair.flags, ...flags);
  return { server, trust: { ca: readFileSync(pair.certificate), servername: "a.test" } };
}

/** A connection that is open, with what has come kept in order for `next`. */
async function open(server, options, path = "/echo") {
  const url = `wss://${server.address}${path}`;
  const socket = new WebSocket(url, { perMessageDeflate: false, ...options });
  keep(socket);
  socket.once("upgrade", (response) => (socket.tls = response.socket));
  await once(socket, "open");
  socket.on("error", () => {});
  return socket;
}

test("messages of every size come back in both versions", PATIENCE, async (t) => {
  const { server, trust } = await secure(t);
  for (const version of VERSIONS) {
    const socket = await open(server, { ...trust, minVersion: version, maxVersion: version });
    assert.equal(socket.tls.getProtocol(), version);
    for (const size of SIZES) {
      const binary = randomBytes(size);
      socket.send(binary);
      assert.deepEqual(await socket.next(), binary, `${size} bytes`);
    }
    socket.close(1000, "enough");
    assert.deepEqual(await socket.ended, [1000, "enough"]);
  }
});

test("fragments with a ping between them, and thousands at once", PATIENCE, async (t) => {
  const { server, trust } = await secure(t);
  const socket = await open(server, trust);
  socket.send(randomBytes(40_000), { fin: false });
  socket.ping("between");
  const [pong] = await once(socket, "pong");
  assert.equal(pong.toString(), "between");
  socket.send(randomBytes(40_000), { fin: true });
  assert.equal((await socket.next()).length, 80_000);
  const count = 5000;
  for (let number = 0; number < count; number += 1) socket.send(String(number));
  for (let number = 0; number < count; number += 1) {
    assert.equal(await socket.next(), String(number));
  }
});

test("the server pings over TLS, and who answers none is dropped", PATIENCE, async (t) => {
  const { server, trust } = await secure(t, "--ping-interval=200ms", "--pong-timeout=200ms");
  const socket = await open(server, trust);
  const silent = await open(server, { ...trust, autoPong: false });
  for (let round = 0; round < 4; round += 1) await once(socket, "ping");
  socket.send("still here");
  assert.equal(await socket.next(), "still here");
  assert.equal((await silent.ended)[0], 1006);
  assert.equal(await server.metric('ws_connections_closed_total{reason="pong_timeout"}'), 1);
});

test("who does not know the certificate does not trust it", PATIENCE, async (t) => {
  const { server, trust } = await secure(t);
  await assert.rejects(open(server, { servername: "a.test" }), /self-signed certificate/);
  await assert.rejects(open(server, { ...trust, servername: "b.test" }), /altnames/);
  const other = readFileSync(selfSigned(t).certificate);
  await assert.rejects(open(server, { ...trust, ca: other }), /certificate/);
  const socket = await open(server, trust);
  assert.equal(socket.tls.alpnProtocol, false, "none is offered");
});

test("sessions resume", PATIENCE, async (t) => {
  const { server, trust } = await secure(t, "--reactors=2");
  for (const version of VERSIONS) {
    const options = { ...trust, minVersion: version, maxVersion: version };
    const first = await open(server, options);
    assert.equal(first.tls.isSessionReused(), false);
    first.send("the ticket comes before the answer");
    await first.next();
    const second = await open(server, { ...options, session: first.tls.getSession() });
    assert.equal(second.tls.isSessionReused(), true, version);
    second.send("hello");
    assert.equal(await second.next(), "hello");
  }
});

test("a draining server says 1001 over TLS", PATIENCE, async (t) => {
  const { server, trust } = await secure(t);
  const crowd = [];
  for (let number = 0; number < 20; number += 1) crowd.push(await open(server, trust));
  const ended = server.drain();
  for (const socket of crowd) assert.equal((await socket.ended)[0], 1001);
  assert.equal(await ended, 0);
});
