// A pulsewheel of a test's own: started on ports that the kernel chooses, stopped at its end.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

const START_LINE = /listens on (\S+:\d+); admin on (\S+:\d+);/;

/** Starts the binary that the environment variable PULSEWHEEL names; `test` stops it. */
export async function startServer(test, ...flags) {
  const defaults = ["--listen=127.0.0.1:0", "--admin=127.0.0.1:0", "--drain-window=0s"];
  const child = spawn(process.env.PULSEWHEEL, [...defaults, ...flags], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const exited = once(child, "exit");
  test.after(async () => {
    child.kill("SIGKILL");
    await exited;
  });
  const lines = [];
  for await (const line of createInterface({ input: child.stderr })) {
    lines.push(line);
    const found = START_LINE.exec(line);
    if (found) {
      // Nobody reads on, and a full pipe must not hold the log up.
      child.stderr.resume();
      return new Server(child, exited, found[1], found[2]);
    }
  }
  throw new Error(`the server did not start: ${lines.join("\n")}`);
}

class Server {
  #child;
  #exited;

  constructor(child, exited, address, admin) {
    this.#child = child;
    this.#exited = exited;
    this.address = address;
    this.admin = admin;
  }

  url(path) {
    return `ws://${this.address}${path}`;
  }

  /** Sends SIGTERM; the exit code once the server has ended. */
  async drain() {
    this.#child.kill("SIGTERM");
    const [code] = await this.#exited;
    return code;
  }

  /** Publishes from outside: the status and the answer. */
  async publish(path, type, body) {
    const url = `http://${this.admin}/publish?path=${encodeURIComponent(path)}`;
    const answer = await fetch(url, { method: "POST", headers: { "Content-Type": type }, body });
    return [answer.status, await answer.json()];
  }

  /** The value of the first sample of /metrics that begins with `sample`. */
  async metric(sample) {
    const text = await (await fetch(`http://${this.admin}/metrics`)).text();
    const line = text.split("\n").find((line) => line.startsWith(`${sample} `));
    if (!line) throw new Error(`/metrics has no ${sample}`);
    return Number(line.slice(line.lastIndexOf(" ") + 1));
  }
}
