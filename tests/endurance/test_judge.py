"""The judge on made-up runs: a healthy one passes, and each ill fails the rule it breaks and no other."""

import unittest

from endurance.judge import DEADLINES, EXPECTED, Story, judge, settled

HELD = 1000
BASE = 44
WAITING = 48
MIB = 1 << 20


def a_sample(minute, kind="quiet", held=HELD):
    """A sample of a healthy server."""
    return {
        "minute": float(minute), "kind": kind, "held": held, "active": held, "slots": held, "wheel": held,
        "outbox": 0, "inbox": 0, "mailbox": 0, "buffers": 0,
        "rings": 3, "requests": WAITING + held, "waiting": WAITING + 3 + held, "heap_used": 3 * MIB, "rss": 20 * MIB,
        "descriptors": BASE + held, "close_wait": 0, "panics": 0,
        "accepted": held + 9 * len(EXPECTED), "cpu": 2.0 * minute,
        **{f"closed.{reason}": 9 for reason in EXPECTED}, "closed.handler_panic": 0,
        "closed.idle_timeout": 0, **{f"expired.{deadline}": 9 for deadline in DEADLINES},
    }


def a_story(minutes=60):
    """An hour in which all went well."""
    quiet = [a_sample(minute) for minute in range(minutes + 1)]
    load = [a_sample(minute + 0.5, "load") for minute in range(minutes)]
    for sample in load:
        # Under load there is more of everything, and that is nobody's fault.
        sample |= {"active": 3000, "slots": 3100, "rss": 80 * MIB, "outbox": 5 * MIB, "descriptors": 3200,
                   "wheel": 20000, "close_wait": 3}
    samples = sorted([*quiet, *load], key=lambda sample: sample["minute"])
    return Story(
        samples=[a_sample(0, "empty", 0), *samples, a_sample(minutes + 1, "empty", 0)],
        minutes=float(minutes), rounds=minutes, exit_code=0,
        drain_line="drained: 100 connections closed cleanly, 0 dropped")


def broken(story):
    """The rules that do not hold."""
    return [verdict.rule for verdict in judge(story) if not verdict.holds]


class Judged(unittest.TestCase):
    """One ill each."""

    def assert_breaks(self, story, *starts):
        """Exactly the rules that begin with these words do not hold."""
        rules = broken(story)
        self.assertEqual(len(rules), len(starts), rules)
        for rule, start in zip(rules, starts):
            self.assertTrue(rule.startswith(start), rules)

    def test_a_healthy_run_passes(self):
        for minutes in (2, 3, 10, 60, 600):
            self.assertEqual(broken(a_story(minutes)), [], minutes)

    def test_rss_that_grows_by_more_than_a_twentieth_fails(self):
        story = a_story()
        for sample in story.samples:
            sample["rss"] = round(20 * MIB * (1 + 0.0012 * sample["minute"]))
        self.assert_breaks(story, "RSS at the end")

    def test_rss_that_grows_by_less_or_only_in_the_warm_up_passes(self):
        story = a_story()
        for sample in story.samples:
            sample["rss"] = round(20 * MIB * (1 + 0.0008 * sample["minute"]))
        self.assertEqual(broken(story), [])
        for sample in story.samples:
            sample["rss"] = 20 * MIB + round(MIB * min(sample["minute"], 10))
        self.assertEqual(broken(story), [])

    def test_rss_that_shrinks_is_no_fault(self):
        story = a_story()
        for sample in story.samples:
            sample["rss"] = round(20 * MIB * (1 - 0.005 * sample["minute"]))
        self.assertEqual(broken(story), [])

    def test_one_odd_sample_at_the_edges_decides_nothing(self):
        for odd in (0, -1):
            for size in (10, 40):
                story = a_story()
                warm = [s for s in story.of_kind("quiet") if s["minute"] >= 10]
                warm[odd]["rss"] = size * MIB
                self.assertEqual(broken(story), [], (odd, size))

    def test_a_leak_in_a_short_run_is_seen_when_it_exceeds_what_settles(self):
        story = a_story(2)
        for sample in story.samples:
            sample["rss"] = 20 * MIB + round(2 * MIB * sample["minute"])
        self.assertEqual(broken(story), [], "2 MiB in all")
        for sample in story.samples:
            sample["rss"] = 20 * MIB + round(4 * MIB * sample["minute"])
        self.assert_breaks(story, "RSS at the end")

    def test_allocated_memory_is_judged_beside_rss(self):
        story = a_story()
        for sample in story.samples:
            # Fifty bytes for each of ten thousand connections a minute, in pages that were there anyway.
            sample["heap_used"] = 3 * MIB + round(500_000 * sample["minute"])
        self.assert_breaks(story, "allocated memory")

    def test_full_caches_of_threads_are_no_leak(self):
        story = a_story()
        for sample in story.samples:
            sample["heap_used"] = 3 * MIB + round(MIB * sample["minute"] / 60)
        self.assertEqual(broken(story), [])

    def test_one_descriptor_that_stays_open_fails(self):
        story = a_story()
        story.samples[-1]["descriptors"] += 1
        self.assert_breaks(story, "no descriptor")
        story = a_story()
        story.of_kind("quiet")[30]["descriptors"] += 1
        self.assert_breaks(story, "no descriptor")

    def test_a_slot_that_is_not_freed_fails(self):
        story = a_story()
        for sample in story.samples[-2:]:
            sample["slots"] += 1
            sample["accepted"] += 1
        self.assert_breaks(story, "at rest only held connections")

    def test_a_held_connection_that_is_lost_fails(self):
        story = a_story()
        quiet = story.of_kind("quiet")[-1]
        quiet["active"] -= 1
        self.assert_breaks(story, "at rest only held connections")

    def test_requests_that_stay_in_a_ring_fail_and_so_do_those_that_are_not_counted(self):
        story = a_story()
        story.samples[-1]["requests"] += 1
        story.samples[-1]["waiting"] += 1
        self.assert_breaks(story, "no request is left")
        story = a_story()
        story.of_kind("quiet")[3]["requests"] -= 1
        self.assert_breaks(story, "the server counts")

    def test_a_server_that_has_told_nothing_yet_is_not_blamed(self):
        story = a_story()
        story.samples[0]["requests"] = 0
        self.assertEqual(broken(story), [])

    def test_a_server_without_rings_is_not_asked_for_requests(self):
        story = a_story()
        for sample in story.samples:
            sample |= {"rings": 0, "requests": 0, "waiting": 0}
        self.assertEqual(broken(story), [])

    def test_entries_that_stay_on_the_wheel_fail(self):
        story = a_story()
        story.samples[-1]["wheel"] = 1
        self.assert_breaks(story, "the wheel is empty")
        story = a_story()
        story.of_kind("quiet")[-1]["wheel"] = 3 * HELD + 1
        self.assert_breaks(story, "at most 3 wheel entries")

    def test_bytes_that_wait_for_nobody_fail(self):
        for budget in ("outbox", "inbox", "mailbox"):
            story = a_story()
            story.samples[-1][budget] = 1
            self.assert_breaks(story, "at rest no bytes wait")

    def test_a_socket_in_close_wait_fails(self):
        story = a_story()
        story.of_kind("quiet")[5]["close_wait"] = 1
        self.assert_breaks(story, "no socket in CLOSE_WAIT")

    def test_a_strange_reason_fails(self):
        story = a_story()
        story.samples[-1]["closed.idle_timeout"] = 1
        story.samples[-1]["accepted"] += 1
        self.assert_breaks(story, "no connection ended for a strange reason")

    def test_a_connection_without_a_reason_fails(self):
        story = a_story()
        story.samples[-1]["accepted"] += 1
        self.assert_breaks(story, "every accepted connection")

    def test_traffic_that_is_not_what_it_claims_to_be_fails(self):
        story = a_story()
        story.samples[-1]["accepted"] -= story.samples[-1]["closed.pong_timeout"]
        story.samples[-1]["closed.pong_timeout"] = 0
        self.assert_breaks(story, "each expected reason")
        story = a_story()
        story.samples[-1]["expired.write"] = 0
        self.assert_breaks(story, "each deadline")

    def test_a_panic_fails(self):
        story = a_story()
        story.samples[-1]["panics"] = 1
        self.assert_breaks(story, "no handler panicked")

    def test_a_load_that_met_errors_fails(self):
        story = a_story()
        story.failures.append("7-mixed ended with 1")
        self.assert_breaks(story, "every load")

    def test_a_complaint_in_the_log_fails(self):
        story = a_story()
        story.complaints.append("ERROR reactor 1 failed")
        self.assert_breaks(story, "the server's log")

    def test_an_end_that_is_not_a_drain_fails(self):
        for code, line in ((1, "drained: 9 connections closed cleanly, 0 dropped"), (None, ""), (0, ""),
                           (0, "drained: 8 connections closed cleanly, 1 dropped"),
                           (0, "drained: 8 connections closed cleanly, 10 dropped")):
            story = a_story()
            story.exit_code, story.drain_line = code, line
            self.assert_breaks(story, "the server drains")

    def test_a_run_that_was_broken_off_does_not_pass(self):
        story = a_story()
        story.samples = story.samples[:3]
        self.assertIn("empty before and after, and a rest in each round", broken(story))
        self.assertTrue(broken(Story(samples=[], minutes=60.0, rounds=0, exit_code=None)))

    def test_rounds_without_a_rest_fail(self):
        story = a_story()
        story.rounds += 2
        self.assert_breaks(story, "empty before and after")

    def test_the_first_and_the_last_level_never_share_a_sample(self):
        story = a_story(2)
        for sample in story.samples:
            sample["rss"] = round(sample["minute"])
        self.assertEqual(settled(story, "rss"), (1, 2))
        story.samples = [s for s in story.samples if s["kind"] != "quiet" or s["minute"] < 2]
        self.assertIsNone(settled(story, "rss"))


if __name__ == "__main__":
    unittest.main()
