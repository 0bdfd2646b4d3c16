"""The load generator against servers of other makers: Python's `websockets` and Node's `ws`.

Needs PULSEWHEEL_LOADTEST (the binary) and NODE_SERVER (ws_server.mjs beside its packages).
"""

import json
import os
import pathlib
import subprocess
import sys
import unittest

LOADTEST_LIMIT = 50.0
HERE = pathlib.Path(__file__).resolve().parent


class Foreign:
    """What every server must be able to take; a subclass says which one it is."""

    # The kinds of zombies that show themselves noticed. Both servers find who stops reading only by
    # a ping, and hang up with a FIN that waits behind what is not read: nothing of it can be seen.
    # Nor has either a deadline for a message, but who sends fragments for ever answers no ping.
    mix = "silent-handshake,drip-handshake,no-pong,vanish,half-close,garbage,huge-length"
    mix += ",endless-fragments,reset"
    claims = "--handshake-timeout 1s --ping-interval 1s --pong-timeout 1s --message-timeout 2s"

    @classmethod
    def command(cls):
        raise NotImplementedError

    @classmethod
    def setUpClass(cls):
        cls.process = subprocess.Popen(
            cls.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        cls.address = f"127.0.0.1:{int(cls.process.stdout.readline())}"

    @classmethod
    def tearDownClass(cls):
        cls.process.stdin.close()
        try:
            cls.process.wait(5)
        except subprocess.TimeoutExpired:
            cls.process.kill()
            cls.process.wait()
        cls.process.stdout.close()

    def report(self, scenario, *flags, path="/echo"):
        """The report of a run that went well in all respects."""
        command = [os.environ["PULSEWHEEL_LOADTEST"], scenario, "--url"]
        command += [f"ws://{self.address}{path}", "--output", "json", "--quiet"]
        command += ["--server-pid", str(self.process.pid), *flags]
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=LOADTEST_LIMIT, check=False
        )
        self.assertEqual(ended.returncode, 0, f"{ended.stderr}{ended.stdout}")
        report = json.loads(ended.stdout)
        self.assertEqual(report["errors"]["total"], 0, ended.stdout)
        return report

    def test_echo_is_verified_at_every_size(self):
        for size in ["0", "20", "125-127", "70KiB"]:
            for kind in ["--text", "--binary"]:
                flags = ["-c", "5", "--pipeline", "2", "--size", size, kind]
                report = self.report("echo", *flags, "--warmup", "0", "--duration", "300ms")
                self.assertEqual(report["connections"], 5)
                self.assertGreater(report["messages_total"], 0)
                self.assertEqual(report["totals"]["sent"], report["totals"]["received"])
                self.assertGreater(report["server"]["cpu_us_per_message"], 0)

    def test_rate_keeps_its_rate(self):
        flags = ["-c", "20", "--rate", "300", "--size", "lognormal:60,1"]
        report = self.report("rate", *flags, "--warmup", "200ms", "--duration", "1500ms")
        self.assertAlmostEqual(report["messages_total"], 450, delta=20)
        latency = report["latency_us"]
        self.assertLess(latency["p50"], 500_000)
        self.assertLessEqual(latency["p50"], latency["max"])

    def test_a_broadcast_reaches_everybody_once(self):
        flags = ["-c", "30", "--publishers", "2", "--rate", "40"]
        flags += ["--warmup", "200ms", "--duration", "1s"]
        report = self.report("broadcast", *flags, path="/broadcast")
        totals = report["totals"]
        self.assertGreater(totals["sent"], 0)
        self.assertEqual(totals["received"], 30 * totals["sent"])
        for point in ["p50", "max"]:
            reach = [report["reach_us"][who][point] for who in ("median", "p99", "last")]
            self.assertEqual(reach, sorted(reach))

    def test_connections_come_and_go(self):
        flags = ["--churn", "-c", "8", "--warmup", "100ms", "--duration", "800ms"]
        report = self.report("connect", *flags)
        totals = report["totals"]
        self.assertGreater(report["connects_total"], 8)
        self.assertEqual(totals["sent"], totals["received"])
        self.assertLessEqual(totals["opened"] - totals["sent"], 8)

    def test_idle_connections_answer_the_servers_pings_and_live(self):
        flags = ["-c", "20", "--probes", "3", "--warmup", "0", "--duration", "3s", "--final-echo"]
        report = self.report("idle", *flags)
        self.assertGreaterEqual(report["totals"]["pings"], 2 * 20)
        self.assertEqual(report["totals"]["received"], 20)
        # Its own pings were answered, too.
        self.assertGreater(report["latency_us"]["p50"], 0)
        held = [scene["open"] for scene in report["scenes"] if scene["name"] == "measure"]
        self.assertEqual(held, [20])

    def test_a_herd_comes_back(self):
        for drop in ["reset", "fin"]:
            flags = ["-c", "40", "--drop", drop, "--backoff", "300ms"]
            report = self.report("herd", *flags, "--warmup", "0", "--duration", "20s")
            herd = report["herd"]
            self.assertEqual((herd["dropped"], herd["back"]), (40, 40), herd)
            self.assertEqual(report["totals"]["opened"], 80)

    def test_mixed_traffic_makes_no_errors(self):
        flags = ["-c", "15", "--pause", "lognormal:50ms,1", "--gap", "exp:5ms"]
        flags += ["--life", "exp:400ms", "--away", "exp:50ms", "--size", "lognormal:100,1"]
        report = self.report("mixed", *flags, "--warmup", "0", "--duration", "1500ms")
        self.assertGreater(report["totals"]["opened"], 15)
        self.assertEqual(report["totals"]["sent"], report["totals"]["received"])

    def test_zombies_are_noticed(self):
        kinds = len(self.mix.split(","))
        flags = ["-c", "3", "--rate", "60", "--zombies", str(2 * kinds), "--mix", self.mix]
        flags += ["--warmup", "0", "--grace", "4s", "--drip", "50ms", *self.claims.split()]
        report = self.report("zombies", *flags)
        self.assertEqual(report["zombies"]["healthy_errors"], 0)
        for kind in report["zombies"]["kinds"]:
            if kind["count"]:
                self.assertEqual((kind["noticed"], kind["late"]), (kind["count"], 0), kind)


class Websockets(Foreign, unittest.TestCase):
    @classmethod
    def command(cls):
        return [sys.executable, str(HERE / "websockets_server.py"), "1", "1", "1"]


class Ws(Foreign, unittest.TestCase):
    @classmethod
    def command(cls):
        return ["node", os.environ["NODE_SERVER"], "1", "1"]


if __name__ == "__main__":
    unittest.main()
