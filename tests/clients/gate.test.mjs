// Who may come in, as seen by the `ws` package of Node.js with tokens of `jsonwebtoken`.

import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import jwt from "jsonwebtoken";
import WebSocket from "ws";

import { startServer } from "./server.mjs";

const PATIENCE = { timeout: 60_000 };

/** The path of a file that nobody else may read. */
function privateFile(test, content) {
  const folder = mkdtempSync(join(tmpdir(), "pulsewheel-"));
  test.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "key");
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}

/** Opens a connection; the status of the answer and, where that is 101, the connection. */
async function knock(server, path = "/echo", protocols = [], options = {}) {
  const socket = new WebSocket(server.url(path), protocols, options);
  socket.on("error", () => {});
  const answered = new Promise((resolve) => {
    socket.once("open", () => resolve({ status: 101, socket }));
    socket.once("unexpected-response", (_, response) => {
      response.destroy();
      resolve({ status: response.statusCode, headers: response.headers });
    });
    socket.once("close", () => resolve({ status: 0 }));
  });
  return await answered;
}

async function status(...where) {
  const { status, socket } = await knock(...where);
  socket?.terminate();
  return status;
}

function bearer(token) {
  return { headers: { Authorization: `Bearer ${token}` } };
}

test("a page of another site is refused with its visitor's cookies", PATIENCE, async (t) => {
  const server = await startServer(t);
  const from = (origin) => ({ origin, headers: { Cookie: "session=the-visitors-own" } });
  assert.equal(await status(server, "/echo", [], from("https://evil.test")), 403);
  assert.equal(await status(server, "/echo", [], from(`http://${server.address}`)), 101);
  const careless = await startServer(t, "--allow-origin=*");
  assert.equal(await status(careless, "/echo", [], from("https://evil.test")), 101);
});

test("a token may stand in each of three places", PATIENCE, async (t) => {
  // Text, since a line end that a secret ends with is not part of it.
  const secret = randomBytes(40).toString("hex");
  const file = privateFile(t, secret);
  const server = await startServer(t, "--auth=jwt", `--jwt-secret-file=${file}`);
  const token = jwt.sign({ sub: "ada" }, secret, { expiresIn: 600 });
  assert.equal(await status(server, "/echo", [], bearer(token)), 101);
  assert.equal(await status(server, `/echo?token=${token}`), 101);
  // As a page does it: this client too fails when none of those it offered is selected.
  const { socket } = await knock(server, "/echo", [`bearer.${token}`, "chat"]);
  assert.equal(socket.protocol, "chat");
  socket.terminate();
  const { status: without, headers } = await knock(server);
  assert.equal(without, 401);
  assert.equal(headers["www-authenticate"], 'Bearer realm="pulsewheel"');
});

test("bad tokens are refused", PATIENCE, async (t) => {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const { privateKey: stranger } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const pem = publicKey.export({ type: "spki", format: "pem" });
  const file = privateFile(t, pem);
  const server = await startServer(t, "--auth=jwt", `--jwt-public-key-file=${file}`);
  const rs256 = { algorithm: "RS256", expiresIn: 600 };
  const good = jwt.sign({}, privateKey, rs256);
  assert.equal(await status(server, "/echo", [], bearer(good)), 101);
  for (const [what, token] of Object.entries({
    expired: jwt.sign({}, privateKey, { ...rs256, expiresIn: -1 }),
    early: jwt.sign({}, privateKey, { ...rs256, notBefore: 60 }),
    endless: jwt.sign({}, privateKey, { algorithm: "RS256" }),
    foreign: jwt.sign({}, stranger, rs256),
    unsigned: jwt.sign({}, null, { algorithm: "none", expiresIn: 600 }),
    "of another hash": jwt.sign({}, privateKey, { ...rs256, algorithm: "RS512" }),
    "of another padding": jwt.sign({}, privateKey, { ...rs256, algorithm: "PS256" }),
    // With the public key anyone could sign, were it taken for a secret.
    forged: jwt.sign({}, Buffer.from(pem), { algorithm: "HS256", expiresIn: 600 }),
    cut: good.slice(0, -1),
  })) {
    assert.equal(await status(server, "/echo", [], bearer(token)), 401, what);
  }
  const oversize = jwt.sign({ more: "x".repeat(12_000) }, privateKey, rs256);
  assert.equal(await status(server, "/echo", [], bearer(oversize)), 431);
});

test("the oldest of a user gives way with 1008", PATIENCE, async (t) => {
  // Text, since a line end that a secret ends with is not part of it.
  const secret = randomBytes(40).toString("hex");
  const file = privateFile(t, secret);
  const flags = ["--auth=jwt", `--jwt-secret-file=${file}`, "--max-connections-per-user=1"];
  const server = await startServer(t, ...flags, "--user-limit-policy=replace");
  const ada = bearer(jwt.sign({ sub: "ada" }, secret, { expiresIn: 600 }));
  const { socket: old } = await knock(server, "/echo", [], ada);
  const gone = once(old, "close");
  const { socket: living } = await knock(server, "/echo", [], ada);
  assert.equal((await gone)[0], 1008);
  living.send("still here");
  assert.equal((await once(living, "message"))[0].toString(), "still here");
});

test("who comes too often is told when to come back", PATIENCE, async (t) => {
  const server = await startServer(t, "--connect-rate-per-ip=1/m:2", "--trust-proxy=127.0.0.1/32");
  const behind = (address) => ({ headers: { "X-Forwarded-For": address } });
  for (const expected of [101, 101, 429, 429]) {
    const { status, headers } = await knock(server, "/echo", [], behind("192.0.2.1"));
    assert.equal(status, expected);
    if (status === 429) assert.ok(Number(headers["retry-after"]) >= 1);
  }
  assert.equal(await status(server, "/echo", [], behind("192.0.2.2")), 101);
});
