"""Results as Markdown tables, one for each workload.

Not the numbers themselves; those are `results`.
"""

from .results import CONNECTIONS_FOR_MEMORY, machine, rows


def microseconds(value):
    if value is None:
        return "-"
    return f"{value:,.0f} us" if value < 10_000 else f"{value / 1000:,.0f} ms"


def count(value):
    return "-" if value is None else f"{value:,.0f}"


def share(value):
    return "-" if value is None else f"{value:.0%}"


def line(cells):
    return "| " + " | ".join(cells) + " |"


def document(args, measurements, workloads):
    """All tables, under a line that says where and how they were measured."""
    head = (f"{machine()}; server and generator pinned to one core each; medians of {args.rounds} "
            f"rounds of {args.seconds:g} s (idle: more seconds, fewer rounds), interleaved.")
    return "\n".join([head, "", *(text for load in workloads for text in table(load, measurements))])


def table(workload, measurements):
    found = rows(workload, measurements)
    if not found:
        return []
    titles, cells = {"idle": idle, "generator": generator}.get(workload.scenario, traffic)(workload)
    floor = next((row.cost for row in found if row.floor and row.measured), None)
    lines = [f"### {workload.name}: {workload.heading}", "", line(titles), line(["---"] * len(titles))]
    for row in found:
        lines.append(line(cells(row, floor) if row.measured else refusal(row, len(titles))))
    short = [f"{row.name}: medians of {len(row.reports)} rounds only: {row.failure}"
             for row in found if row.measured and row.failure]
    return lines + [text for note in short for text in ("", note)] + [""]


def refusal(row, width):
    return [row.name, f"**not measured: {row.failure}**".replace("|", "/")] + [""] * (width - 2)


def priced(row, floor):
    """A price, its range, and how it stands to the floor's."""
    ratio = f"{row.cost / floor:.2f}" if floor else "-"
    return [f"{row.cost:.2f}", f"{min(row.costs):.2f} to {max(row.costs):.2f}", ratio]


def traffic(workload):
    unit, rate = workload.unit, f"{workload.units}_per_second"
    titles = ["server", f"CPU us a {unit}", "least to most", "to the floor",
              f"{workload.units} per CPU-second", f"{unit} rate /s", "p50", "p99",
              "RSS bytes a connection", "server, generator busy", "errors"]

    def cells(row, floor):
        memory = row.median("server", "rss_bytes_per_connection")
        if workload.connections < CONNECTIONS_FOR_MEMORY:
            memory = None
        busy = f"{share(row.median('server', 'cpu_share'))}, {share(row.median('generator', 'cpu_share'))}"
        return [row.name, *priced(row, floor), count(1e6 / row.cost), count(row.median(rate)),
                microseconds(row.median("latency_us", "p50")),
                microseconds(row.median("latency_us", "p99")), count(memory), busy, str(row.errors())]

    return titles, cells


def idle(_workload):
    titles = ["server", "RSS bytes a connection", "least to most", "CPU us a connection opened",
              "errors"]

    def cells(row, _floor):
        opening = row.median("server", "cpu_us_per_connect")
        return [row.name, count(row.cost), f"{count(min(row.costs))} to {count(max(row.costs))}",
                "-" if opening is None else f"{opening:.1f}", str(row.errors())]

    return titles, cells


def generator(_workload):
    titles = ["client", "its CPU us a message", "least to most", "to the floor",
              "messages per CPU-second", "message rate /s", "errors", ""]

    def cells(row, floor):
        return [row.name, *priced(row, floor), count(1e6 / row.cost),
                count(row.median("messages_per_second")), str(row.errors()), row.about]

    return titles, cells
