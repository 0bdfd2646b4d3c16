"""What is done to the server: runs of the load generator, one round after the other.

Not a judge of the server: a run says itself, by its exit code and its report, whether all went well.
"""

import json
import os
import signal
import subprocess
from dataclasses import dataclass, field

from .server import deadlines

# Kinds of peers that go wrong and can be seen to be noticed while others come and go. Those that
# reset are seen in the server's descriptors, so they have a scene in which nobody else does.
ZOMBIES = ("silent-handshake,drip-handshake,no-pong,vanish,stop-reading,half-close,garbage,huge-length,"
           "endless-fragments")

# What the machine may take beyond a deadline before a zombie counts as late: it is busy on purpose.
GRACE = ["--grace", "10s", "--connect-timeout", "60s"]


@dataclass
class Load:
    """One run of the generator: a name, its scenario and flags, and the path it goes to."""

    name: str
    flags: list
    path: str = "/echo"
    at_most: float = 120.0


@dataclass
class Tally:
    """What all runs together did."""

    runs: int = 0
    messages: int = 0
    opened: int = 0
    zombies: int = 0
    by_name: dict = field(default_factory=dict)
    failures: list = field(default_factory=list)

    def add(self, name, report):
        """Counts a run that went well."""
        self.runs += 1
        self.messages += report["totals"]["received"]
        self.opened += report["totals"]["opened"]
        kinds = (report.get("zombies") or {}).get("kinds", [])
        self.zombies += sum(kind["noticed"] or 0 for kind in kinds)
        self.by_name[name] = self.by_name.get(name, 0) + 1


class Run:
    """A load that is under way."""

    def __init__(self, generator, server, load, folder, pid=None):
        self.load = load
        base = os.path.join(folder, load.name)
        self.report_path, self.error_path = f"{base}.json", f"{base}.err"
        command = [generator, *load.flags, "--url", f"ws://{server.address}{load.path}"]
        command += ["--output", "json", "--quiet"]
        command += ["--server-pid", str(pid)] if pid else []
        with open(self.report_path, "w", encoding="utf-8") as out, \
                open(self.error_path, "w", encoding="utf-8") as error:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=error)

    def is_over(self):
        """Whether it has ended."""
        return self.process.poll() is not None

    def interrupt(self):
        """Has it end early, as Ctrl-C does."""
        if not self.is_over():
            self.process.send_signal(signal.SIGINT)

    def kill(self):
        """Ends it whatever it does."""
        if not self.is_over():
            self.process.kill()
        self.process.wait()

    def finish(self, tally):
        """Waits for its end and enters it; the report of one that went well."""
        try:
            code = self.process.wait(self.load.at_most)
        except subprocess.TimeoutExpired:
            self.kill()
            tally.failures.append(f"{self.load.name} was not over after {self.load.at_most:.0f} s")
            return None
        with open(self.report_path, encoding="utf-8") as file:
            text = file.read()
        if code != 0:
            with open(self.error_path, encoding="utf-8") as file:
                complaint = (file.read().strip() or errors_of(text))[:500]
            tally.failures.append(f"{self.load.name} ended with {code}: {complaint}")
            return None
        report = json.loads(text)
        tally.add(self.load.name.split("-", 1)[1], report)
        # Hours of them would be thousands of files; those that failed stay.
        os.remove(self.report_path)
        os.remove(self.error_path)
        return report


def errors_of(text):
    """The errors that a report tells of, if it is one."""
    try:
        report = json.loads(text)
    except ValueError:
        return text
    return json.dumps({"errors": report.get("errors"), "zombies": report.get("zombies")})


def held(count, minutes):
    """The connections that are held throughout; each echoes once at the end if it gets that far."""
    length = f"{int(minutes * 60) + 3600}s"
    flags = ["idle", "-c", str(count), "--connect-rate", "2000", "--duration", length, "--warmup", "0",
             "--connect-timeout", "60s"]
    return Load("0-held", flags)


def resets(number, crowd):
    """Those that reset in the middle of a frame."""
    flags = ["zombies", "-c", "10", "--rate", "20", "--zombies", str(crowd), "--mix", "reset"]
    return Load(f"{number}-resets", [*flags, *deadlines(), *GRACE])


def herd(number, crowd, drop):
    """All drop at once, and come back."""
    flags = ["herd", "-c", str(2 * crowd), "--drop", drop, "--backoff", "500ms", "--duration", "60s"]
    return Load(f"{number}-herd-{drop}", [*flags, "--connect-timeout", "60s", "--seed", str(number)])


def broadcast(number, crowd, seconds):
    """A few speak to all."""
    flags = ["broadcast", "-c", str(crowd), "--publishers", "4", "--rate", "20", "--size", "16-4KiB"]
    return Load(f"{number}-broadcast", [*flags, "--duration", f"{seconds}s"], path="/broadcast")


def large(number, seconds, rate=20):
    """Few, with messages that do not fit any buffer."""
    flags = ["rate", "-c", "8", "--rate", str(rate), "--size", "64KiB-900KiB", "--binary"]
    return Load(f"{number}-large", [*flags, "--duration", f"{seconds}s", "--seed", str(number)])


def round_of(number, crowd, seconds):
    """What plays together in one round: a third of it changes from round to round."""
    seed = ["--seed", str(number)]
    every = [
        Load(f"{number}-mixed", [
            "mixed", "-c", str(2 * crowd), "--size", "lognormal:256,1.2,most=64KiB", "--life", "exp:4s",
            "--away", "exp:500ms", "--pause", "lognormal:300ms,1", "--duration", f"{seconds}s",
            "--connect-timeout", "60s", *seed]),
        Load(f"{number}-churn", [
            "connect", "--churn", "-c", "20", "--connect-rate", "200", "--duration", f"{seconds}s",
            "--connect-timeout", "60s", *seed]),
        Load(f"{number}-zombies", [
            "zombies", "-c", str(crowd // 2), "--rate", "100", "--zombies", str(crowd), "--mix", ZOMBIES,
            *deadlines(), *GRACE, *seed]),
    ]
    turns = [
        broadcast(number, crowd, seconds), herd(number, crowd, "reset"),
        large(number, seconds), herd(number, crowd, "fin"),
    ]
    return [*every, turns[number % len(turns)]]
