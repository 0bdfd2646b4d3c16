"""What is measured: each workload and the scenario of the generator that it is.

Not by whom it is measured; that is `peers`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Workload:
    """One comparison, a table of its own."""

    name: str
    # A scenario of the generator; or `generator`, where the generator itself is what is compared.
    scenario: str
    connections: int
    flags: tuple = ()
    # The measurement takes so many times the seconds that were asked for.
    longer: int = 1
    # Rounds at most: memory does not vary as time does.
    rounds: int = 1_000

    @property
    def heading(self):
        """What it is, in words."""
        if self.scenario == "idle":
            return f"{self.connections:,} idle connections"
        size = self.flags[self.flags.index("--size") + 1]
        size = f"{size} bytes" if size.isdigit() else size.replace("KiB", " KiB")
        what = "what a client pays, echo" if self.scenario == "generator" else self.scenario
        return f"{what} of {size}, {self.connections:,} connections"

    @property
    def unit(self):
        """What a server is paid for."""
        return "delivery" if self.scenario == "broadcast" else "message"

    @property
    def units(self):
        return "deliveries" if self.scenario == "broadcast" else "messages"


# The rates of broadcast leave the server time to spare: one that falls behind writes several messages
# at once, and the cost of a delivery is not the same. Idle lasts longer so that heartbeats are on,
# and has as many connections as one descriptor table holds where RLIMIT_NOFILE is 20,000.
WORKLOADS = [
    Workload("echo-64", "echo", 64, ("--size", "20")),
    Workload("echo-1000", "echo", 1_000, ("--size", "20")),
    Workload("echo-10000", "echo", 10_000, ("--size", "20")),
    Workload("echo-1KiB", "echo", 64, ("--size", "1KiB")),
    Workload("echo-16KiB", "echo", 64, ("--size", "16KiB")),
    Workload("broadcast-1000", "broadcast", 1_000, ("--size", "64", "--rate", "40")),
    Workload("broadcast-10000", "broadcast", 10_000, ("--size", "64", "--rate", "4")),
    Workload("idle-15000", "idle", 15_000, ("--final-echo",), longer=6, rounds=3),
    Workload("generator-1000", "generator", 1_000, ("--size", "20")),
]


@dataclass(frozen=True)
class Generator:
    """A client that `generator` compares with the others, and the peer that it speaks to."""

    name: str
    about: str
    peer: str
    # Of pulsewheel-loadtest; None for the floor, which is a program of its own.
    url: str | None


GENERATORS = [
    Generator("tcp-client", "the floor: a plain TCP client", "tcp-echo", None),
    Generator("pulsewheel-loadtest tcp", "the same bytes to the same server", "tcp-echo",
              "tcp://127.0.0.1:{port}"),
    Generator("pulsewheel-loadtest ws", "for information: over WebSocket, to this server",
              "pulsewheel", "ws://127.0.0.1:{port}/echo"),
]
