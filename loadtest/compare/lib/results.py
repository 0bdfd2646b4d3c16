"""What reports add up to: for each workload a row per peer, medians and ranges, sorted by value.

Not how rows look; that is `tables` and `plot`.
"""

import contextlib
import os
import platform
import statistics
from dataclasses import dataclass

# Memory is resident by pages: with fewer connections than this its share of one says nothing.
CONNECTIONS_FOR_MEMORY = 1_000


@dataclass
class Row:
    """One peer in one workload."""

    name: str
    about: str
    # Whether the others are measured by it.
    floor: bool
    # Microseconds of CPU for each message or delivery; idle: bytes of each connection.
    costs: list
    reports: list
    failure: str | None

    @property
    def cost(self):
        return statistics.median(self.costs)

    @property
    def measured(self):
        return bool(self.costs)

    def median(self, *path):
        """The median of what stands at `path` in the reports, or None where it is in none."""
        found = [value for value in (dig(report, path) for report in self.reports) if value is not None]
        return statistics.median(found) if found else None

    def errors(self):
        return sum(dig(report, ("errors", "total")) or 0 for report in self.reports)


def dig(report, path):
    for key in path:
        report = report.get(key) if isinstance(report, dict) else None
    return report


def cost(report, scenario):
    """What a report says about the price, or None."""
    if scenario == "generator":
        return dig(report, ("generator", "cpu_us_per_message")) or report.get("cpu_us_per_message")
    return dig(report, ("server", {"echo": "cpu_us_per_message", "broadcast": "cpu_us_per_delivery",
                                   "idle": "rss_bytes_per_connection"}[scenario]))


def rows(workload, measurements):
    """The rows of a workload, the cheapest first and those without a number last."""
    found = []
    for taker in measurements.takers(workload):
        key = workload.name, taker.name
        reports = [report for report in measurements.reports.get(key, [])
                   if cost(report, workload.scenario) is not None]
        failure = measurements.failures.get(key)
        if not reports and not failure:
            failure = "no measurement"
        if workload.scenario == "generator":
            floor = taker.url is None
        else:
            floor = taker.url(workload.scenario).startswith("tcp://")
        costs = [cost(report, workload.scenario) for report in reports]
        found.append(Row(taker.name, taker.about, floor, costs, reports, failure))
    return sorted(found, key=lambda row: (not row.measured, row.cost if row.measured else 0, row.name))


def machine():
    """What the numbers were measured on."""
    model = congestion = "unknown"
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as info:
        model = next((line.split(":", 1)[1].strip() for line in info if "model name" in line), model)
    with contextlib.suppress(OSError), \
            open("/proc/sys/net/ipv4/tcp_congestion_control", encoding="utf-8") as name:
        congestion = name.read().strip()
    return (f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, loopback, "
            f"congestion control {congestion}")
