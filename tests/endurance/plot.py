"""A soak as one SVG that needs nothing else: memory, connections, what is held at rest, what happened.

Not a plotting library: lines over minutes from zero, as many as a panel can tell apart.
"""

import math
from dataclasses import dataclass
from xml.sax.saxutils import escape

from .judge import RSS_GROWTH, Story, counts, settled

WIDTH, MARGIN, GUTTER = 960, 24, 40
AXIS, TITLE, BOTTOM, HEAD, FOOT = 52, 56, 24, 78, 40
WIDE, HALF = WIDTH - 2 * MARGIN, (WIDTH - 2 * MARGIN - GUTTER) // 2
TALL, LOW = 200, 120

# The card brings its own background, so that it can be read on a page of either kind.
STYLE = """
  .card { fill: #ffffff; stroke: #d0d7de } .ink { fill: #1f2328 } .soft { fill: #59636e }
  .grid { stroke: #d0d7de } .band { fill: #0969da; fill-opacity: .12 } .warm { fill: #59636e; fill-opacity: .08 }
  .line { fill: none; stroke-width: 2; stroke-linejoin: round } .thin { stroke-width: 1; stroke-opacity: .5 }
  .a { stroke: #0969da } .b { stroke: #bc4c00 } .c { stroke: #1a7f37 } .d { stroke: #8250df }
  .ka { fill: #0969da } .kb { fill: #bc4c00 } .kc { fill: #1a7f37 } .kd { fill: #8250df }
  @media (prefers-color-scheme: dark) {
    .card { fill: #0d1117; stroke: #30363d } .ink { fill: #e6edf3 } .soft { fill: #9198a1 }
    .grid { stroke: #30363d } .band { fill: #4493f8; fill-opacity: .2 } .warm { fill: #9198a1; fill-opacity: .12 }
    .a { stroke: #4493f8 } .b { stroke: #f0883e } .c { stroke: #3fb950 } .d { stroke: #ab7df8 }
    .ka { fill: #4493f8 } .kb { fill: #f0883e } .kc { fill: #3fb950 } .kd { fill: #ab7df8 }
  }
  text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif }
  .h1 { font-size: 18px; font-weight: 600 } .h2 { font-size: 14px; font-weight: 600 }
"""


@dataclass
class Line:
    """Points (minute, value) under a name; a thin one is a background for the others."""

    name: str
    points: list
    thin: bool = False


@dataclass
class Panel:
    """Lines over the same minutes and from zero, with a band (low, high) that they should stay in."""

    title: str
    note: str
    lines: list
    band: tuple | None = None

    @property
    def top(self):
        """The end of the scale: a round number of steps above all values."""
        most = max((value for line in self.lines for _, value in line.points), default=0)
        most = max(most, self.band[1] if self.band else 0) or 1
        return math.ceil(most / self.step(most)) * self.step(most)

    @staticmethod
    def step(most):
        """A step of 1, 2 or 5 times a power of ten of which five at most make the scale."""
        power = 10 ** math.floor(math.log10(most))
        return next(s for s in (power / 5, power / 2, power, 2 * power) if most / s <= 5.0001)


def text(x, y, words, style, anchor="start"):
    """A label."""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}" text-anchor="{anchor}">{escape(words)}</text>'


def short(value):
    """A number as a label has it: 5k, 1.2M, 0.5."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def draw(panel, minutes, warm, place, size):
    """A panel with its upper left corner at a place."""
    (left, upper), (width, height) = place, size
    start, first, length = left + AXIS, upper + TITLE, width - AXIS
    base, top = first + height, panel.top

    def x(minute):
        return start + length * min(minute / minutes, 1)

    def y(value):
        return base - height * value / top

    out = [text(left, upper + 14, panel.title, "ink h2"), text(left, upper + 31, panel.note, "soft")]
    out.append(f'<rect x="{start}" y="{first}" width="{x(warm) - start:.1f}" height="{height}" class="warm"/>')
    if panel.band:
        low, high = panel.band
        out.append(f'<rect x="{x(warm):.1f}" y="{y(high):.1f}" width="{start + length - x(warm):.1f}" '
                   f'height="{y(low) - y(high):.1f}" class="band"/>')
    step = panel.step(top)
    for number in range(round(top / step) + 1):
        at = y(number * step)
        out.append(f'<path d="M{start} {at:.1f}H{start + length}" class="grid"/>')
        out.append(text(start - 6, at + 4, short(number * step), "soft", "end"))
    pace = Panel.step(minutes)
    for number in range(math.floor(minutes / pace) + 1):
        out.append(text(x(number * pace), base + 16, short(number * pace), "soft", "middle"))
    key = start
    for line, colour in zip(panel.lines, "abcd"):
        out.append(f'<rect x="{key}" y="{upper + 40}" width="10" height="10" rx="2" class="k{colour}"/>')
        out.append(text(key + 14, upper + 49, line.name, "soft"))
        key += 30 + 6.6 * len(line.name)
        if line.points:
            path = "L".join(f"{x(minute):.1f} {y(value):.1f}" for minute, value in line.points)
            thin = " thin" if line.thin else ""
            out.append(f'<path d="M{path}" class="line {colour}{thin}"/>')
    return out


def points(samples, value):
    """A line's points, by what to take from each sample."""
    return [(sample["minute"], value(sample)) for sample in samples]


def rates(samples, value):
    """Points of a counter's growth a minute, from one sample to the next."""
    pairs = list(zip(samples, samples[1:]))
    spans = [(b["minute"] - a["minute"], value(b) - value(a), b["minute"]) for a, b in pairs]
    return [(minute, grown / span) for span, grown, minute in spans if span > 0]


def beyond(sample, column):
    """How many there are beside one for each held connection."""
    return max(0, sample[column] - sample["held"])


def panels(samples, story):
    """The wide panel and the four small ones."""
    rest = [sample for sample in samples if sample["kind"] == "quiet"]
    levels = settled(story, "rss")
    band = None
    if levels:
        band = tuple(levels[0] * share / 2**20 for share in (1 - RSS_GROWTH, 1 + RSS_GROWTH))
    wide = Panel(
        "Memory, MiB",
        f"at rest the same connections are open; the band is RSS after the warm-up, give or take {RSS_GROWTH:.0%}",
        [
            Line("RSS at rest", points(rest, lambda s: s["rss"] / 2**20)),
            Line("RSS under load", points(samples, lambda s: s["rss"] / 2**20), thin=True),
            Line("allocated at rest", points(rest, lambda s: s["heap_used"] / 2**20)),
        ], band)
    kinds = [kind for kind in sorted(counts(samples[-1], "expired"))
             if kind != "ping" and samples[-1][f"expired.{kind}"]][:4]
    small = [
        Panel("Connections", "those held, and with the load of each round", [
            Line("at rest", points(rest, lambda s: s["active"])),
            Line("under load", points(samples, lambda s: s["active"]), thin=True)]),
        Panel("At rest, beyond one for each held connection", "the server has descriptors of its own", [
            Line("descriptors", points(rest, lambda s: beyond(s, "descriptors"))),
            Line("slots", points(rest, lambda s: beyond(s, "slots"))),
            Line("wheel entries", points(rest, lambda s: beyond(s, "wheel")))]),
        Panel("Deadlines passed a minute", "each is a peer that went wrong and was dealt with", [
            Line(kind, rates(rest, lambda s, kind=kind: s[f"expired.{kind}"])) for kind in kinds]),
        Panel("Connections ended, processor time", "a minute: hundreds of endings, seconds of CPU", [
            Line("endings / 100",
                 rates(rest, lambda s: sum(counts(s, "closed").values()) / 100)),
            Line("CPU seconds", rates(rest, lambda s: s["cpu"]))]),
    ]
    return wide, small


def document(record, warm):
    """The whole picture."""
    samples, minutes = record["samples"], record["minutes"]
    if not samples:
        return ""
    wide, small = panels(samples, Story(samples, minutes, record["rounds"]))
    half = HEAD + TITLE + TALL + BOTTOM + 20
    row = TITLE + LOW + BOTTOM + 20
    height = half + 2 * row + FOOT
    held = max(sample["held"] for sample in samples)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
           f'height="{height}" role="img">', "<title>A soak</title>", f"<style>{STYLE}</style>",
           f'<rect x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1}" rx="8" class="card"/>',
           text(MARGIN, 36, f"{minutes:.0f} minutes of load beside {held:,} held connections", "ink h1"),
           text(MARGIN, 58, f"{record['opened']:,} connections opened, {record['messages']:,} messages verified, "
                f"{record['zombies']:,} zombies noticed. Grey: the warm-up. Time in minutes.", "soft")]
    out += draw(wide, minutes, warm, (MARGIN, HEAD), (WIDE, TALL))
    for number, panel in enumerate(small):
        place = MARGIN + number % 2 * (HALF + GUTTER), half + number // 2 * row
        out += draw(panel, minutes, warm, place, (HALF, LOW))
    out.append(text(MARGIN, height - 18, f"{record['command']}; {record['machine']}", "soft"))
    return "\n".join(out + ["</svg>", ""])
