// A peer: echo on /echo and broadcast on /broadcast with the npm package ws, compression off.
// Not tuned: what its documentation shows. With `bufferutil` installed, ws takes it by itself.

import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';

const { values: flags } = parseArgs({
  options: {
    listen: { type: 'string', default: '127.0.0.1:9107' },
    // The folder whose node_modules holds ws: it is installed outside the sources.
    modules: { type: 'string', default: '.' },
  },
});

const require = createRequire(`${resolve(flags.modules)}/`);
const { WebSocket, WebSocketServer } = require('ws');

const settings = { noServer: true, perMessageDeflate: false };
const echo = new WebSocketServer({ ...settings, clientTracking: false });
const broadcast = new WebSocketServer(settings);

echo.on('connection', (socket) => {
  socket.on('error', () => {});
  socket.on('message', (data, binary) => socket.send(data, { binary }));
});

broadcast.on('connection', (socket) => {
  socket.on('error', () => {});
  socket.on('message', (data, binary) => {
    for (const client of broadcast.clients) {
      if (client.readyState === WebSocket.OPEN) client.send(data, { binary });
    }
  });
});

const server = createServer((request, response) => response.writeHead(404).end());

server.on('upgrade', (request, socket, head) => {
  const served = request.url === '/broadcast' ? broadcast : echo;
  served.handleUpgrade(request, socket, head, (client) => {
    served.emit('connection', client, request);
  });
});

let native = 'with bufferutil';
try {
  require('bufferutil');
} catch {
  native = 'without bufferutil';
}

const [, host, port] = flags.listen.match(/^\[?(.*?)\]?:(\d+)$/);
server.listen({ host, port: Number(port), backlog: 4096 }, () => {
  console.log(`listening on ${flags.listen}, ${native}`);
});
