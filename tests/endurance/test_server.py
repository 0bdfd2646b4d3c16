"""What a server's log is searched for, on made-up logs."""

import os
import tempfile
import unittest

from endurance.server import Server

HEAD = "2026-01-31T12:00:00.123Z"
# One line each that a server may write, and that it may not.
FINE = [
    f"{HEAD} INFO  pulsewheel::server::start: pulsewheel 0.1.0 listens on 127.0.0.1:1; admin on 127.0.0.1:2;",
    f"{HEAD} WARN  pulsewheel::reactor: reactor 1 was kept from running; its deadlines were moved by 202 ms",
    f"{HEAD} WARN  pulsewheel::server::start: only 900 connections fit; raise the limit of open descriptors",
]
BAD = [
    f"{HEAD} ERROR pulsewheel::server::operate: reactor 1 failed: no descriptors",
    f"{HEAD} WARN  pulsewheel::reactor::accept: descriptors ran out",
    "thread 'reactor-0' (17) panicked at src/conn/mod.rs:1:1:",
]


class Searched(unittest.TestCase):
    """One log, line by line."""

    def test_complaints_are_what_a_healthy_server_would_not_write(self):
        server = Server.__new__(Server)
        with tempfile.TemporaryDirectory() as folder:
            server.log_path = os.path.join(folder, "log")
            with open(server.log_path, "w", encoding="utf-8") as file:
                file.write("\n".join([*FINE, *BAD]))
            self.assertEqual(server.complaints(), BAD)


if __name__ == "__main__":
    unittest.main()
