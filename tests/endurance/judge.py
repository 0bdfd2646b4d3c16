"""Verdicts on a soak: does everything that grew come back?

Not for measuring: it is given samples and what else was seen, and reads no file and no clock.
"""

from dataclasses import dataclass, field
from statistics import median

# Reasons for which this traffic ends connections. Any other is a fault, and each of these, but those
# in SELDOM, must have been seen in a run of some length, or the traffic was not what it claims to be.
EXPECTED = {
    "peer_closed", "peer_gone", "peer_reset", "handshake_timeout", "pong_timeout", "message_timeout",
    "write_timeout", "protocol_error", "message_too_big",
}
# Garbage may happen to look like a broken text, and a reset may come while a close is under way.
SELDOM = {"invalid_utf8", "close_timeout"}

# Deadlines that pass under this traffic.
DEADLINES = {"handshake", "ping", "pong", "message", "write"}

RSS_GROWTH = 0.05
# Memory of a run that is too short for the allocator to settle is not told from a leak more finely.
SHORT_MINUTES = 40.0
SHORT_SLACK = 1 << 20
# What glibc calls allocated counts the freed blocks that threads keep for themselves: at most 7 of each
# of 64 sizes up to 1 KiB, so a quarter of a MiB for each of a handful of threads. They fill slowly.
CACHES = 1 << 20
# Entries of a held connection that wait on the wheel; 8 is the bound of a single one.
WHEEL_ENTRIES = 3

EXACT = ("active", "slots")
EMPTY = ("outbox", "inbox", "mailbox", "buffers")


@dataclass
class Verdict:
    """One rule, whether it held, and the figures."""

    rule: str
    holds: bool
    figures: str


@dataclass
class Story:
    """What is judged: the samples in their order, and how the run went."""

    samples: list
    minutes: float
    rounds: int
    failures: list = field(default_factory=list)
    complaints: list = field(default_factory=list)
    exit_code: int | None = 0
    drain_line: str = ""

    def of_kind(self, kind):
        """The samples of that kind."""
        return [sample for sample in self.samples if sample["kind"] == kind]

    @property
    def warm_minutes(self):
        """From when on memory may grow no more: ten minutes, or a quarter of a shorter run."""
        return min(10.0, self.minutes / 4)


def settled(story, column):
    """The level after the warm-up and that at the end, each the median of up to three quiet samples.

    In a run of few rounds the first and the last third are compared, so that the two never share a
    sample; None where there are not two.
    """
    warm = [s for s in story.of_kind("quiet") if s["minute"] >= story.warm_minutes]
    few = min(3, len(warm) // 2)
    if few == 0:
        return None
    values = [sample[column] for sample in warm]
    return median(values[:few]), median(values[-few:])


def growth(story, column, words, more=0):
    """The memory rule; `more` bytes are allowed beyond the share."""
    rule = f"{words} at the end within {RSS_GROWTH:.0%} of that after {story.warm_minutes:.3g} minutes"
    rule += f" and {mib(more)}" if more else ""
    levels = settled(story, column)
    if levels is None:
        return Verdict(rule, False, "too few quiet samples")
    first, last = levels
    slack = first * RSS_GROWTH + more + (SHORT_SLACK if story.minutes < SHORT_MINUTES else 0)
    change = (last - first) / first if first else float(last > 0)
    return Verdict(rule, last - first <= slack, f"{mib(first)} then {mib(last)}, {change:+.2%}")


def mib(size):
    """Bytes for people."""
    return f"{size / (1 << 20):.2f} MiB"


def misfits(samples, wrong):
    """The minutes of the samples about which `wrong` has something to say, and what."""
    told = [(sample["minute"], wrong(sample)) for sample in samples]
    return [f"minute {minute:.1f}: {what}" for minute, what in told if what]


def every(rule, samples, wrong, right):
    """A rule for each of these samples; with none of them it does not hold."""
    found = misfits(samples, wrong) if samples else ["there is no such sample"]
    figures = "; ".join(found[:3]) + (f"; and {len(found) - 3} more" if len(found) > 3 else "")
    return Verdict(rule, not found, figures or right)


def accounts(story):
    """The rules for quiet and for empty moments."""
    quiet, empty = story.of_kind("quiet"), story.of_kind("empty")
    at_rest = quiet + empty
    base = empty[0]["descriptors"] if empty else 0
    has_rings = any(sample["rings"] for sample in empty)

    def connections(sample):
        return ", ".join(f"{sample[name]} {name}" for name in EXACT if sample[name] != sample["held"])

    def leftovers(sample):
        return ", ".join(f"{sample[name]} in {name}" for name in EMPTY if sample[name])

    def tables(sample):
        leaked = sample["descriptors"] - base - sample["held"]
        return f"{leaked:+d} descriptors" if leaked else ""

    def requests(sample):
        left = sample["waiting"] - empty[0]["waiting"] - sample["held"]
        return f"{left:+d} requests" if left else ""

    def told(sample):
        # Besides what it counts, each ring waits for its eventfd.
        untold = sample["waiting"] - sample["requests"] - sample["rings"]
        return f"{untold:+d} requests" if untold else ""

    def entries(sample):
        return f"{sample['wheel']} entries" if sample["wheel"] > WHEEL_ENTRIES * sample["held"] else ""

    def rotten(sample):
        return f"{sample['close_wait']} sockets" if sample["close_wait"] else ""

    held = max((sample["held"] for sample in quiet), default=0)
    return [
        every("at rest only held connections have slots", at_rest, connections, f"{held} held"),
        every("at rest no bytes wait", at_rest, leftovers, "outbox, inbox and mailboxes empty, all buffers back"),
        every("no descriptor is leaked", at_rest, tables, f"{base} and one for each connection"),
        *([every("no request is left in a ring", at_rest, requests, "one for each connection"),
           # Before its first turn a reactor has told nothing.
           every("the server counts what its rings wait for", quiet + empty[1:], told, "all of it")]
          if has_rings else []),
        every(f"at most {WHEEL_ENTRIES} wheel entries for a held connection", quiet, entries,
              f"{max((s['wheel'] for s in quiet), default=0)} at most"),
        every("the wheel is empty when all have left", empty, entries, "0 entries"),
        every("no socket in CLOSE_WAIT", at_rest, rotten, "none at any rest"),
        Verdict("empty before and after, and a rest in each round",
                len(empty) >= 2 and len(quiet) >= story.rounds > 0,
                f"{len(quiet)} quiet, {len(empty)} empty, {story.rounds} rounds"),
    ]


def counts(sample, family):
    """The counters of a family in a sample: by label."""
    start = f"{family}."
    return {name[len(start):]: n for name, n in sample.items() if name.startswith(start)}


def endings(story):
    """The rules for why connections ended."""
    last = story.samples[-1] if story.samples else {}
    closed, expired = counts(last, "closed"), counts(last, "expired")
    strange = {name: n for name, n in closed.items() if n and name not in EXPECTED | SELDOM}
    missing = sorted(name for name in EXPECTED if not closed.get(name))
    idle = sorted(name for name in DEADLINES if not expired.get(name))
    balance = last.get("accepted", 0) - sum(closed.values()) - last.get("slots", 0)
    return [
        Verdict("no connection ended for a strange reason", bool(closed) and not strange,
                ", ".join(f"{name} {n}" for name, n in strange.items()) or f"{sum(closed.values())} ended"),
        Verdict("every accepted connection has one reason or a slot", bool(closed) and balance == 0,
                f"{last.get('accepted', 0)} accepted, {balance:+d} without"),
        Verdict("each expected reason was seen", not missing, ", ".join(missing) or "all"),
        Verdict("each deadline passed", not idle, ", ".join(idle) or "all"),
        Verdict("no handler panicked", last.get("panics") == 0, f"{last.get('panics')} panics"),
    ]


def judge(story):
    """All verdicts."""
    return [
        growth(story, "rss", "RSS"),
        growth(story, "heap_used", "allocated memory", CACHES),
        *accounts(story),
        *endings(story),
        Verdict("every load went well", not story.failures, "; ".join(story.failures[:3]) or "all of them"),
        Verdict("the server's log has no warning, error or panic", not story.complaints,
                "; ".join(story.complaints[:3]) or "none"),
        Verdict("the server drains, drops nobody and exits with 0",
                story.exit_code == 0 and story.drain_line.endswith(" 0 dropped"),
                f"exit code {story.exit_code}; {story.drain_line or 'no word of a drain'}"),
    ]
