"""Results as one SVG that needs nothing else: small multiples of bars, one panel for each workload.

Not a plotting library: bars of one length scale, from best to worst, whoever that is.
"""

import math
from dataclasses import dataclass
from xml.sax.saxutils import escape

from .results import machine, rows

WIDTH, COLUMNS, MARGIN, GUTTER = 960, 2, 24, 32
PANEL = (WIDTH - 2 * MARGIN - (COLUMNS - 1) * GUTTER) // COLUMNS
LABEL, VALUE, ROW, TITLE = 170, 52, 22, 46
PLOT = PANEL - LABEL - VALUE
HEAD, FOOT = 78, 52

# The card brings its own background, so that it can be read on a page of either kind.
STYLE = """
  .card { fill: #ffffff; stroke: #d0d7de } .value { stroke: #ffffff } .ink { fill: #1f2328 } .soft { fill: #59636e }
  .grid { stroke: #d0d7de } .range { stroke: #1f2328; stroke-opacity: .55 } .bad { fill: #b3261e }
  .peer { fill: #8c959f } .ours { fill: #0969da } .floor { fill: #d5dae0 }
  @media (prefers-color-scheme: dark) {
    .card { fill: #0d1117; stroke: #30363d } .value { stroke: #0d1117 } .ink { fill: #e6edf3 } .soft { fill: #9198a1 }
    .grid { stroke: #30363d } .range { stroke: #e6edf3; stroke-opacity: .6 } .bad { fill: #ff8a80 }
    .peer { fill: #6e7681 } .ours { fill: #4493f8 } .floor { fill: #3d4651 }
  }
  .value { paint-order: stroke; stroke-width: 4px; stroke-linejoin: round }
  text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif }
  .h1 { font-size: 18px; font-weight: 600 } .h2 { font-size: 14px; font-weight: 600 }
"""


@dataclass
class Bar:
    """One peer's value in a panel, and the least and most of its rounds."""

    name: str
    kind: str
    value: float | None
    least: float = 0
    most: float = 0
    failure: str | None = None


@dataclass
class Panel:
    """One workload."""

    title: str
    note: str
    bars: list
    logarithmic: bool

    @property
    def height(self):
        return TITLE + len(self.bars) * ROW + 14


def kind(row):
    if row.floor:
        return "floor"
    return "ours" if row.name.startswith("pulsewheel") else "peer"


def panel(workload, measurements):
    """The panel of a workload, or None where nobody took part."""
    found = rows(workload, measurements)
    if not found or workload.scenario == "generator":
        return None
    memory = workload.scenario == "idle"
    value = (lambda cost: max(cost, 1)) if memory else (lambda cost: 1e6 / cost)
    bars = []
    for row in found:
        if not row.measured:
            bars.append(Bar(row.name, kind(row), None, failure=row.failure))
            continue
        least, most = sorted((value(min(row.costs)), value(max(row.costs))))
        bars.append(Bar(row.name, kind(row), value(row.cost), least, most))
    if memory:
        note = "resident bytes per connection, logarithmic: less is better"
    else:
        note = f"{workload.units} per CPU-second: more is better"
    return Panel(workload.heading, note, bars, logarithmic=memory)


class Scale:
    """From a value to a length; linear from zero, or logarithmic over whole powers of ten."""

    def __init__(self, part):
        top = max((bar.most for bar in part.bars if bar.value is not None), default=1)
        least = min((bar.least for bar in part.bars if bar.value is not None), default=1)
        self.logarithmic = part.logarithmic
        if self.logarithmic:
            self.low = max(0, math.floor(math.log10(least)) - 1)
            self.high = max(self.low + 1, math.ceil(math.log10(top)))
        else:
            step = 10 ** math.floor(math.log10(top))
            self.step = next(s for s in (step / 5, step / 2, step, 2 * step) if top / s <= 5.01 or s > step)
            self.low, self.high = 0, math.ceil(top / self.step) * self.step

    def at(self, value):
        value = math.log10(value) if self.logarithmic else value
        return PLOT * (value - self.low) / (self.high - self.low)

    def ticks(self):
        if self.logarithmic:
            return [10 ** power for power in range(self.low, self.high + 1)]
        return [self.step * n for n in range(round(self.high / self.step) + 1)]


def short(value):
    """A number as a label has it: 182k, 1.2M, 150."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.0f}"


def text(x, y, words, style, anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}" text-anchor="{anchor}">{escape(words)}</text>'


def draw(part, left, top):
    """A panel with its upper left corner at a place."""
    scale = Scale(part)
    start, first = left + LABEL, top + TITLE
    out = [text(left, top + 14, part.title, "ink h2"), text(left, top + 31, part.note, "soft")]
    bottom = first + len(part.bars) * ROW
    for tick in scale.ticks():
        x = start + scale.at(tick)
        out.append(f'<path d="M{x:.1f} {first - 2}V{bottom}" class="grid"/>')
        out.append(text(x, bottom + 13, short(tick), "soft", "middle"))
    for number, bar in enumerate(part.bars):
        out += draw_bar(bar, scale, start, first + number * ROW)
    return out


def draw_bar(bar, scale, start, top):
    middle = top + ROW / 2
    style = "ink" if bar.kind == "ours" else "soft"
    out = [text(start - 8, middle + 4, bar.name, style, "end")]
    if bar.value is None:
        return out + [text(start + 4, middle + 4, "not measured", "bad value")]
    length = max(scale.at(bar.value), 1)
    out.append(f'<rect x="{start}" y="{top + 3}" width="{length:.1f}" height="{ROW - 6}" rx="2" '
               f'class="{bar.kind}"/>')
    least, most = start + scale.at(bar.least), start + scale.at(bar.most)
    out.append(f'<path d="M{least:.1f} {middle}H{most:.1f}" class="range"/>')
    return out + [text(max(most, start + length) + 6, middle + 4, short(bar.value), "ink value")]


def document(args, measurements, workloads):
    """The whole picture."""
    panels = [part for part in (panel(load, measurements) for load in workloads) if part]
    places, top = [], HEAD
    for at in range(0, len(panels), COLUMNS):
        line = panels[at:at + COLUMNS]
        places += [(part, MARGIN + n * (PANEL + GUTTER), top) for n, part in enumerate(line)]
        top += max(part.height for part in line) + 18
    height = top + FOOT - 18
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
           f'height="{height}" role="img">', "<title>Servers compared</title>", f"<style>{STYLE}</style>",
           f'<rect x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1}" rx="8" class="card"/>',
           text(MARGIN, 36, "One core of each server: what it carries, what it holds", "ink h1"),
           text(MARGIN, 58, f"Medians of {args.rounds} interleaved rounds, the line in a bar from least to "
                "most; sorted by value. The faint bars are plain TCP, the floor.", "soft")]
    for part, left, upper in places:
        out += draw(part, left, upper)
    out.append(text(MARGIN, height - 20, machine(), "soft"))
    return "\n".join(out + ["</svg>", ""])
