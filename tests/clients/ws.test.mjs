// The server as seen by the `ws` package of Node.js.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";

import WebSocket from "ws";

import { keep } from "./client.mjs";
import { startServer } from "./server.mjs";

const LIMIT = 1024 * 1024;
const SIZES = [0, 1, 20, 125, 126, 127, 1000, 65535, 65536, 65537, 300_000, LIMIT - 1, LIMIT];
const PATIENCE = { timeout: 60_000 };

/** A connection that is open, with what has come kept in order for `next`. */
async function open(server, path = "/echo", protocols = [], options = {}) {
  const socket = new WebSocket(server.url(path), protocols, {
    perMessageDeflate: false,
    ...options,
  });
  keep(socket);
  await once(socket, "open");
  // A test looks at how a connection ends; by itself an error would end the whole process.
  socket.on("error", () => {});
  return socket;
}

/** The status with which a handshake is refused. */
async function refusal(server, path) {
  const socket = new WebSocket(server.url(path));
  socket.on("error", () => {});
  const [, response] = await once(socket, "unexpected-response");
  response.destroy();
  return response.statusCode;
}

test("messages of every size come back, text as text and binary as binary", PATIENCE, async (t) => {
  const socket = await open(await startServer(t));
  for (const size of SIZES) {
    const binary = randomBytes(size);
    socket.send(binary);
    assert.deepEqual(await socket.next(), binary, `${size} bytes`);
    const text = "é".repeat(size / 2);
    socket.send(text);
    assert.equal(await socket.next(), text, `${size} bytes of text`);
  }
});

test("fragments come back as one message, with a ping between them answered", PATIENCE, async (t) => {
  const socket = await open(await startServer(t));
  socket.send("one ", { fin: false });
  socket.ping("between");
  const [pong] = await once(socket, "pong");
  assert.equal(pong.toString(), "between");
  socket.send("", { fin: false });
  socket.send("two", { fin: true });
  assert.equal(await socket.next(), "one two");
});

test("thousands of messages sent at once keep their order", PATIENCE, async (t) => {
  const socket = await open(await startServer(t));
  const count = 10_000;
  for (let number = 0; number < count; number += 1) socket.send(String(number));
  for (let number = 0; number < count; number += 1) {
    assert.equal(await socket.next(), String(number));
  }
});

test("the server pings, and the client that answers stays connected", PATIENCE, async (t) => {
  const server = await startServer(t, "--ping-interval=200ms", "--pong-timeout=200ms");
  const socket = await open(server);
  for (let round = 0; round < 5; round += 1) await once(socket, "ping");
  socket.send("still here");
  assert.equal(await socket.next(), "still here");
});

test("a client that answers no ping is dropped", PATIENCE, async (t) => {
  const server = await startServer(t, "--ping-interval=200ms", "--pong-timeout=200ms");
  const socket = await open(server, "/echo", [], { autoPong: false });
  const [code] = await socket.ended;
  assert.equal(code, 1006, "it is reset, without a close frame");
  assert.equal(await server.metric('ws_connections_closed_total{reason="pong_timeout"}'), 1);
});

test("the client's close code is answered in kind", PATIENCE, async (t) => {
  const server = await startServer(t);
  for (const code of [1000, 1001, 1008, 1011, 3000, 4999]) {
    const socket = await open(server);
    socket.close(code, "enough");
    assert.deepEqual(await socket.ended, [code, "enough"]);
  }
  const socket = await open(server);
  socket.close();
  assert.deepEqual(await socket.ended, [1005, ""], "no code is answered with none");
});

test("a message over the limit is closed with 1009", PATIENCE, async (t) => {
  const socket = await open(await startServer(t));
  socket.send(Buffer.alloc(LIMIT + 1));
  const [code] = await socket.ended;
  assert.equal(code, 1009);
});

test("a draining server says 1001 to everyone and ends well", PATIENCE, async (t) => {
  const server = await startServer(t);
  const crowd = [];
  for (let number = 0; number < 20; number += 1) crowd.push(await open(server));
  const ended = server.drain();
  for (const socket of crowd) assert.equal((await socket.ended)[0], 1001);
  assert.equal(await ended, 0);
});

test("compression is offered and not negotiated", PATIENCE, async (t) => {
  const server = await startServer(t);
  const socket = await open(server, "/echo", [], { perMessageDeflate: true });
  assert.equal(socket.extensions, "");
  socket.send("plain ".repeat(1000));
  assert.equal(await socket.next(), "plain ".repeat(1000));
});

test("the server's most wanted subprotocol is selected", PATIENCE, async (t) => {
  const server = await startServer(t, "--subprotocol=chat.v2", "--subprotocol=chat.v1");
  assert.equal((await open(server, "/echo", ["chat.v1", "chat.v2"])).protocol, "chat.v2");
  assert.equal((await open(server, "/echo", ["other", "chat.v1"])).protocol, "chat.v1");
  assert.equal((await open(server)).protocol, "");
});

test("an unknown path is refused with 404", PATIENCE, async (t) => {
  assert.equal(await refusal(await startServer(t), "/nowhere"), 404);
});

test("a broadcast reaches everyone on every reactor once and in order", PATIENCE, async (t) => {
  const server = await startServer(t, "--reactors=4");
  const crowd = [];
  for (let number = 0; number < 40; number += 1) crowd.push(await open(server, "/broadcast"));
  for (let number = 0; number < 100; number += 1) crowd[0].send(String(number));
  for (const socket of crowd) {
    for (let number = 0; number < 100; number += 1) {
      assert.equal(await socket.next(), String(number));
    }
  }
  const [status, answer] = await server.publish("/broadcast", "text/plain", "from outside");
  assert.deepEqual([status, answer.queued], [200, 40]);
  for (const socket of crowd) assert.equal(await socket.next(), "from outside");
});

test("a thousand connections at once each get their own answers", PATIENCE, async (t) => {
  const server = await startServer(t, "--reactors=4");
  const crowd = await Promise.all(Array.from({ length: 1000 }, () => open(server)));
  const talk = async (socket, number) => {
    for (let round = 0; round < 3; round += 1) {
      socket.send(`${number}:${round}`);
      assert.equal(await socket.next(), `${number}:${round}`);
    }
  };
  await Promise.all(crowd.map(talk));
  assert.equal(await server.metric("ws_connections_active"), 1000);
  for (const socket of crowd) socket.close();
  await Promise.all(crowd.map((socket) => socket.ended));
  const deadline = Date.now() + 10_000;
  while ((await server.metric("ws_connections_active")) > 0 && Date.now() < deadline) {
    await pause(20);
  }
  assert.equal(await server.metric("ws_connections_active"), 0, "all have left");
});
