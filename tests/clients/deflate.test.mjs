// permessage-deflate as the `ws` package of Node.js speaks it, in every combination of its parameters.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { test } from "node:test";

import WebSocket from "ws";

import { keep } from "./client.mjs";
import { startServer } from "./server.mjs";

const WINDOW = 12;
const TEXT = "all work and no play makes a dull boy, and a duller server; ";
const PATIENCE = { timeout: 120_000 };

/** A connection that offers exactly these parameters. */
async function open(server, options, path = "/echo") {
  const socket = new WebSocket(server.url(path), { perMessageDeflate: options });
  keep(socket);
  let agreed = "";
  socket.on("upgrade", (response) => {
    agreed = response.headers["sec-websocket-extensions"] ?? "";
  });
  await once(socket, "open");
  socket.on("error", () => {});
  socket.agreed = agreed;
  return socket;
}

/** What the server should answer. */
function expected(mode, offer) {
  const dedicated = mode === "dedicated";
  const parts = ["permessage-deflate"];
  if (!dedicated || offer.serverNoContextTakeover) parts.push("server_no_context_takeover");
  if (!dedicated || offer.clientNoContextTakeover) parts.push("client_no_context_takeover");
  if (offer.serverMaxWindowBits) {
    parts.push(`server_max_window_bits=${Math.min(offer.serverMaxWindowBits, WINDOW)}`);
  }
  const limit = dedicated && !offer.clientNoContextTakeover ? WINDOW : 15;
  if (typeof offer.clientMaxWindowBits === "number") {
    parts.push(`client_max_window_bits=${Math.min(offer.clientMaxWindowBits, limit)}`);
  } else if (offer.clientMaxWindowBits === undefined && limit === WINDOW) {
    parts.push(`client_max_window_bits=${WINDOW}`);
  }
  return parts.join("; ");
}

async function exchange(socket) {
  for (const size of [0, 1, 300, 5000, 100_000]) {
    const noise = randomBytes(Math.floor(size / 3));
    const text = TEXT.repeat(size / 20 + 1).slice(0, size);
    for (const sent of [text, noise.toString("hex").repeat(2), noise]) {
      socket.send(sent);
      assert.deepEqual(await socket.next(), sent);
    }
  }
  socket.send("in ", { fin: false });
  socket.send("three ", { fin: false });
  socket.send("fragments ".repeat(100), { fin: true });
  assert.equal(await socket.next(), `in three ${"fragments ".repeat(100)}`);
}

for (const mode of ["shared", "dedicated"]) {
  test(`every combination of parameters, ${mode}`, PATIENCE, async (t) => {
    const server = await startServer(t, `--compression=${mode}`);
    for (const serverNoContextTakeover of [undefined, true]) {
      for (const clientNoContextTakeover of [undefined, true]) {
        for (const serverMaxWindowBits of [undefined, 9, 12, 15]) {
          for (const clientMaxWindowBits of [undefined, false, 8, 9, 12, 15]) {
            const offer = {
              serverNoContextTakeover,
              clientNoContextTakeover,
              serverMaxWindowBits,
              clientMaxWindowBits,
              threshold: 0,
            };
            const socket = await open(server, offer);
            assert.equal(socket.agreed, expected(mode, offer), JSON.stringify(offer));
            await exchange(socket);
            socket.close();
            await socket.ended;
          }
        }
      }
    }
    assert.ok((await server.metric("ws_messages_inflated_total")) > 500);
    assert.ok((await server.metric("ws_messages_compressed_total")) > 500);
  });

  test(`a bomb is closed with 1009, ${mode}`, PATIENCE, async (t) => {
    const server = await startServer(t, `--compression=${mode}`);
    const socket = await open(server, {});
    socket.send("0".repeat(100 * 1024 * 1024));
    assert.equal((await socket.ended)[0], 1009);
    const other = await open(server, {});
    await exchange(other);
    other.terminate();
  });
}

test("a window of 8 bits is not agreed on", PATIENCE, async (t) => {
  const server = await startServer(t, "--compression=shared");
  const socket = await open(server, { serverMaxWindowBits: 8 });
  assert.equal(socket.agreed, "");
  socket.send(TEXT);
  assert.equal(await socket.next(), TEXT);
  socket.terminate();
});

test("a broadcast reaches those who agreed and those who did not", PATIENCE, async (t) => {
  const server = await startServer(t, "--compression=shared", "--reactors=1");
  const offers = [{}, false, { serverMaxWindowBits: 9 }, {}];
  const crowd = await Promise.all(offers.map((offer) => open(server, offer, "/broadcast")));
  crowd[0].send(TEXT.repeat(50));
  for (const socket of crowd) assert.equal(await socket.next(), TEXT.repeat(50));
  assert.equal(await server.metric("ws_messages_compressed_total"), 2);
  for (const socket of crowd) socket.terminate();
});
