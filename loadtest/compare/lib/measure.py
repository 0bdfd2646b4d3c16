"""One measurement: a fresh server on its core, the generator on another, and the report.

Not what the reports add up to; that is `results`.
"""

import json
import os
import subprocess
import sys

from .servers import Failed, gist, running
from .workloads import GENERATORS

# Opening and closing ten thousand connections to a slow server takes a while; for ever it must not.
PATIENCE_SECONDS = 180


class Measurements:
    """All reports of a comparison, and why some are missing."""

    def __init__(self, args, places, peers):
        self.args = args
        self.places = places
        self.peers = peers
        self.reports = {}
        self.failures = {}

    def takers(self, workload):
        """Who takes part in a workload."""
        if workload.scenario == "generator":
            names = {peer.name for peer in self.peers}
            return [generator for generator in GENERATORS if generator.peer in names]
        return [peer for peer in self.peers if peer.url(workload.scenario)]

    def take(self, workload):
        """All rounds of a workload."""
        takers = self.takers(workload)
        rounds = min(self.args.rounds, workload.rounds)
        for number in range(rounds):
            # A round begins with another peer than the one before.
            first = number % max(1, len(takers))
            for taker in takers[first:] + takers[:first]:
                self.take_one(workload, taker)
            print(f"{workload.name}: round {number + 1} of {rounds}", file=sys.stderr, flush=True)

    def take_one(self, workload, taker):
        key = workload.name, taker.name
        if key in self.failures:
            return
        try:
            report = self.measure(workload, taker)
        except Failed as failure:
            self.failures[key] = str(failure)
            print(f"  {workload.name} {taker.name}: {failure}", file=sys.stderr, flush=True)
            return
        errors = report.get("errors")
        if errors and errors["total"]:
            print(f"  {workload.name} {taker.name}: errors: {errors}", file=sys.stderr, flush=True)
        self.reports.setdefault(key, []).append(report)

    def measure(self, workload, taker):
        if workload.scenario == "generator":
            peer, url = next(p for p in self.peers if p.name == taker.peer), taker.url
        else:
            peer, url = taker, taker.url(workload.scenario)
        if peer.failure:
            raise Failed(peer.failure)
        with running(peer, self.places, self.args.server_core) as (port, pid):
            if url is None:
                return self.run(self.tcp_client(workload, port))
            return self.run(self.loadtest(workload, url.format(port=port), pid))

    def times(self, workload):
        millis = int(self.args.seconds * workload.longer * 1000)
        return ["--warmup", "1s", "--duration", f"{millis}ms"]

    def loadtest(self, workload, url, pid):
        scenario = "echo" if workload.scenario == "generator" else workload.scenario
        return [os.path.join(self.places["root"], "pulsewheel-loadtest"), scenario, "--url", url,
                "--connections", str(workload.connections), *self.times(workload),
                "--pin", str(self.args.generator_core), "--server-pid", str(pid),
                "--output", "json", "--quiet", *workload.flags]

    def tcp_client(self, workload, port):
        # As many bytes as the generator's message has with a client's header.
        return ["taskset", "-c", str(self.args.generator_core),
                os.path.join(self.places["compare"], "tcp-client"), "--connect", f"127.0.0.1:{port}",
                "--connections", str(workload.connections), "--size", "26", *self.times(workload)]

    def run(self, command):
        """The report that a generator prints; its exit code only repeats what the report says."""
        try:
            result = subprocess.run(command, capture_output=True, text=True, check=False,
                                    timeout=PATIENCE_SECONDS + self.args.seconds * 10)
            return json.loads(result.stdout)
        except subprocess.TimeoutExpired:
            raise Failed("the generator did not come to an end") from None
        except ValueError:
            raise Failed(f"no report: {gist(result.stderr)}") from None
