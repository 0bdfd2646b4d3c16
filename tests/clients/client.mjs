// What tests want of a socket of the `ws` package besides what it has. Not for opening one.

/** Keeps what comes in order for `socket.next()`; `socket.ended` gives the close code and reason. */
export function keep(socket) {
  const came = [];
  const waiting = [];
  socket.on("message", (data, isBinary) => {
    const message = isBinary ? data : data.toString();
    if (waiting.length > 0) waiting.shift()(message);
    else came.push(message);
  });
  socket.next = () =>
    came.length > 0
      ? Promise.resolve(came.shift())
      : new Promise((resolve) => waiting.push(resolve));
  socket.ended = new Promise((resolve) => {
    socket.on("close", (code, reason) => resolve([code, reason.toString()]));
  });
}
