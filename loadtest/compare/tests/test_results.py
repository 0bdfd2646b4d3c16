"""The tables and the plot of `run`: who stands where, and that nobody is left out.

Run with `python3 -m unittest discover loadtest/compare/tests`. It starts no server.
"""

import os
import sys
import types
import unittest
import xml.dom.minidom

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lib import plot, tables  # noqa: E402
from lib.measure import Measurements  # noqa: E402
from lib.peers import Peer, missing, failing, read  # noqa: E402
from lib.results import rows  # noqa: E402
from lib.workloads import WORKLOADS  # noqa: E402

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ARGS = types.SimpleNamespace(rounds=3, seconds=2, server_core=0, generator_core=1)


def report(cost, memory=100.0):
    return {"errors": {"total": 0}, "messages_per_second": 1e5, "deliveries_per_second": 1e5,
            "latency_us": {"p50": 10.0, "p99": 20_000.0}, "generator": {"cpu_us_per_message": cost},
            "server": {"cpu_us_per_message": cost, "cpu_us_per_delivery": cost, "cpu_share": 0.9,
                       "rss_bytes_per_connection": memory, "cpu_us_per_connect": 5.0}}


def compared(scenario, costs):
    """A workload of a scenario and what three rounds brought; a name with no cost failed."""
    workload = next(load for load in WORKLOADS if load.scenario == scenario)
    peers = [Peer(name, [], **{scenario: "tcp://x" if name == "floor" else "ws://x"}) for name in costs]
    measurements = Measurements(ARGS, {}, peers)
    for name, cost in costs.items():
        key = workload.name, name
        if cost is None:
            measurements.failures[key] = "cannot be built: make failed"
        else:
            measurements.reports[key] = [report(cost * f, cost * f) for f in (0.9, 1.0, 1.2)]
    return workload, measurements


class Tables(unittest.TestCase):
    def test_rows_are_sorted_by_value_and_failures_stand_at_the_end(self):
        workload, measurements = compared("echo", {"pulsewheel": 8, "bad": None, "best": 6, "floor": 7})
        self.assertEqual([row.name for row in rows(workload, measurements)],
                         ["best", "floor", "pulsewheel", "bad"])

    def test_costs_are_told_as_medians_ranges_ratios_and_rates(self):
        workload, measurements = compared("echo", {"pulsewheel": 8, "floor": 4})
        line = next(line for line in tables.table(workload, measurements) if "pulsewheel" in line)
        self.assertIn("| 8.00 | 7.20 to 9.60 | 2.00 | 125,000 |", line)
        self.assertIn("20 ms", line)

    def test_who_could_not_be_built_is_told_in_the_table(self):
        workload, measurements = compared("idle", {"pulsewheel": 150, "bad": None})
        lines = tables.table(workload, measurements)
        line = next(line for line in lines if line.startswith("| bad"))
        self.assertIn("**not measured: cannot be built: make failed**", line)
        self.assertEqual({line.count("|") for line in lines[2:] if line}, {lines[2].count("|")})


class Plot(unittest.TestCase):
    def test_the_plot_is_whole_xml_and_shows_every_peer_in_every_scenario(self):
        for scenario in ("echo", "idle", "broadcast"):
            costs = {"pulsewheel": 8, "a<b&c": 250_000, "floor": 0.3, "bad": None}
            workload, measurements = compared(scenario, costs)
            picture = plot.document(ARGS, measurements, [workload])
            words = [text.firstChild.data for text in
                     xml.dom.minidom.parseString(picture).getElementsByTagName("text")]
            self.assertLessEqual(set(costs) | {"not measured"}, set(words))

    def test_nothing_measured_draws_nothing_and_fails_nothing(self):
        workload, measurements = compared("echo", {"bad": None})
        self.assertIn("not measured", plot.document(ARGS, measurements, [workload]))
        self.assertIn("</svg>", plot.document(ARGS, measurements, []))


class Peers(unittest.TestCase):
    def test_the_file_that_comes_along_names_all_peers_of_the_comparison(self):
        names = {peer.name for peer in read(os.path.join(HERE, "peers.toml"))}
        self.assertLessEqual({"tcp-echo", "pulsewheel", "uwebsockets", "tokio-tungstenite",
                              "tokio-tungstenite-defaults", "fastwebsockets", "node-ws"}, names)

    def test_a_build_that_fails_is_a_failure_of_its_peer_alone(self):
        self.assertIn("false", failing(Peer("x", [], build=[["true"], ["false"]]), {}))
        self.assertIn("cannot be built", failing(Peer("x", [], build=[["/no/such/program"]]), {}))
        self.assertIsNone(failing(Peer("x", [], build=[["true"]]), {}))
        self.assertIsNone(missing(Peer("x", [], needs={"sh": "dash"})))


if __name__ == "__main__":
    unittest.main()
