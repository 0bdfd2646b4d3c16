"""A server as a process of its own: started, asked, signalled, ended.

Not a judge of it: what it logged and counted is told as it is.
"""

import http.client
import os
import re
import signal
import subprocess
import time

from .sample import parse_metrics

# Deadlines short enough that each passes several times a minute, and long enough that a generator
# that waits for a busy machine is not taken for dead.
DEADLINES = {
    "--handshake-timeout": "4s",
    "--ping-interval": "6s",
    "--pong-timeout": "6s",
    "--message-timeout": "5s",
    "--write-timeout": "5s",
}
MORE = ["--close-timeout", "2s", "--drain-window", "2s"]

# The longest that a dead peer can live by these deadlines.
LONGEST = 12.0

# What a server says of the machine it is on, and not of itself.
OF_THE_MACHINE = re.compile(
    r"does not let a thread have its own descriptor table|only \d+ connections fit|was kept from running")

# Where a listener is in the start line, and where the admin port.
LISTENS = re.compile(r" listens on (127\.0\.0\.1:\d+); admin on (127\.0\.0\.1:\d+);")


def deadlines():
    """The deadlines as flags, which the server and the generator's zombies have in common."""
    return [part for flag in DEADLINES.items() for part in flag]


class Server:
    """One server; its log goes to a file."""

    def __init__(self, command, log, patience=30.0):
        self.log_path = log
        self.patience = patience
        ports = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
        strange = re.compile("RUST_LOG|PULSEWHEEL_(?!DRIVER$)")
        environment = {k: v for k, v in os.environ.items() if not strange.match(k)}
        with open(log, "w", encoding="utf-8") as file:
            self.process = subprocess.Popen(
                [*command, *ports, *deadlines(), *MORE], stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=file, env=environment,
            )
        self.pid = self.process.pid
        self.address, self.admin = self._addresses()

    def _addresses(self):
        limit = time.monotonic() + self.patience
        while True:
            found = LISTENS.search(self.log())
            if found:
                return found.groups()
            if self.process.poll() is not None or time.monotonic() > limit:
                self.kill()
                raise RuntimeError(f"the server did not start:\n{self.log()}")
            time.sleep(0.05)

    def log(self):
        """What it has written so far."""
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def complaints(self):
        """The lines of its log that a healthy server would not write."""
        bad = re.compile(r" (WARN|ERROR) |panicked|stack backtrace")
        lines = self.log().splitlines()
        return [line for line in lines if bad.search(line) and not OF_THE_MACHINE.search(line)]

    def metrics(self):
        """Its metrics now: by name, and by name and value of the label."""
        connection = http.client.HTTPConnection(self.admin, timeout=self.patience)
        try:
            connection.request("GET", "/metrics")
            answer = connection.getresponse()
            body = answer.read().decode()
        finally:
            connection.close()
        if answer.status != 200:
            raise RuntimeError(f"/metrics answered {answer.status}: {body}")
        return parse_metrics(body)

    def reload(self):
        """Has it read its configuration again, which has not changed."""
        self.process.send_signal(signal.SIGHUP)

    def lives(self):
        """Whether it runs."""
        return self.process.poll() is None

    def drain(self, patience):
        """Ends it in good order; its exit code, or None if it had to be killed."""
        if self.lives():
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def kill(self):
        """Ends it whatever it does."""
        if self.lives():
            self.process.kill()
        self.process.wait()
