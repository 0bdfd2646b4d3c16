// A server on Node's `ws`, for the load generator: /echo and /broadcast.
// Prints its port, then serves until its standard input ends. Deadlines in seconds, as arguments:
// head of the request, ping interval (who has not answered by the next ping is terminated).

import { createServer } from "node:http";
import { WebSocket, WebSocketServer } from "ws";

const [headTimeout, pingInterval] = process.argv.slice(2, 4).map((seconds) => 1000 * seconds);

const http = createServer({
  headersTimeout: headTimeout,
  requestTimeout: headTimeout,
  connectionsCheckingInterval: 100,
});
const server = new WebSocketServer({ server: http });

server.on("connection", (socket, request) => {
  socket.toAll = request.url === "/broadcast";
  socket.alive = true;
  // What a peer does to the protocol ends its connection, and nothing else.
  socket.on("error", () => {});
  socket.on("pong", () => (socket.alive = true));
  socket.on("message", (data, binary) => {
    if (!socket.toAll) return socket.send(data, { binary });
    for (const other of server.clients) {
      if (other.toAll && other.readyState === WebSocket.OPEN) other.send(data, { binary });
    }
  });
});

setInterval(() => {
  for (const socket of server.clients) {
    if (!socket.alive) {
      socket.terminate();
      continue;
    }
    socket.alive = false;
    socket.ping();
  }
}, pingInterval);

http.listen(0, "127.0.0.1", () => console.log(http.address().port));
process.stdin.resume().on("end", () => process.exit(0));
