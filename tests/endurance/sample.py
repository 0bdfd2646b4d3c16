"""What a server holds at one moment, by its own metrics and by the kernel's accounts of its process.

Not a judge: whether that is too much is decided in `judge`.
"""

import os
import re

# What is asked for in each sample, and under which name it is kept.
GAUGES = {
    "active": "ws_connections_active",
    "slots": "ws_slots_used",
    "wheel": "ws_wheel_entries",
    "outbox": "ws_outbox_bytes",
    "inbox": "ws_inbox_bytes",
    "mailbox": "ws_mailbox_bytes",
    "heap_used": "process_heap_used_bytes",
    "heap_free": "process_heap_free_bytes",
    "heap_mapped": "process_heap_mapped_bytes",
    "cpu": "process_cpu_seconds_total",
    "accepted": "ws_connections_accepted_total",
    "messages": "ws_messages_received_total",
    "panics": "ws_handler_panics_total",
    "stalls": "ws_stalls_total",
    "accept_pauses": "ws_accept_pauses_total",
}

# Families of counters: one column for each value of the label.
FAMILIES = {"expired": "ws_deadlines_expired_total", "closed": "ws_connections_closed_total"}

LINE = re.compile(r'^([a-z_]+)(?:\{[a-z_]+="([^",]*)"\})? ([0-9.e+-]+)$')

# States of sockets in /proc/net/tcp that say something, by their numbers in the kernel.
CLOSE_WAIT = "08"


def parse_metrics(text):
    """The samples of an exposition that have one label at most; the key is the name, or name and value."""
    found = {}
    for line in text.splitlines():
        match = LINE.match(line)
        if match:
            name, label, value = match.groups()
            found[name if label is None else (name, label)] = float(value)
    return found


def of_metrics(metrics):
    """The columns of a sample that the server tells itself. A metric that is missing is an error."""
    sample = {column: int(metrics[name]) for column, name in GAUGES.items() if column != "cpu"}
    sample["cpu"] = metrics[GAUGES["cpu"]]
    for family, name in FAMILIES.items():
        values = {key[1]: value for key, value in metrics.items() if key[0] == name and key != name}
        if not values:
            raise KeyError(name)
        for label, value in values.items():
            sample[f"{family}.{label}"] = int(value)
    return sample


def memory(pid):
    """Resident, proportional and anonymous memory in bytes (proc_pid_smaps(5))."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return parse_memory(file.read())


def parse_memory(rollup):
    """The same from the text."""
    kib = dict(re.findall(r"^(Rss|Pss|Anonymous): +(\d+) kB$", rollup, re.MULTILINE))
    return {"rss": int(kib["Rss"]) * 1024, "pss": int(kib["Pss"]) * 1024,
            "anonymous": int(kib["Anonymous"]) * 1024}


def descriptors(pid):
    """Descriptors of all tables: that of the process, and one for each reactor's thread.

    Where reactors share one table each counts it; the number is as good to compare.
    """
    tables = [f"/proc/{pid}/fd"]
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/comm", encoding="utf-8") as file:
                if file.read().startswith("reactor-"):
                    tables.append(f"/proc/{pid}/task/{task}/fd")
        except FileNotFoundError:
            pass  # a thread that has ended since, and so was none of the reactors
    return {"descriptors": sum(len(os.listdir(table)) for table in tables)}


def sockets(pid, port):
    """Sockets of the server's end that hang in CLOSE_WAIT, by the kernel's own table."""
    with open(f"/proc/{pid}/net/tcp", encoding="ascii") as file:
        return {"close_wait": parse_sockets(file, port, CLOSE_WAIT)}


def parse_sockets(lines, port, state):
    """How many sockets are bound to the port and in that state."""
    wanted = f":{port:04X}"
    fields = (line.split(None, 4) for line in lines)
    return sum(1 for f in fields if len(f) > 3 and f[1].endswith(wanted) and f[3] == state)


def take(server, kind, minute, held):
    """One sample: `kind` is quiet, load or empty; `held` is how many connections are held on purpose."""
    # The descriptors first: asking for the metrics takes one.
    sample = {"minute": round(minute, 3), "kind": kind, "held": held, **descriptors(server.pid)}
    sample |= of_metrics(server.metrics())
    sample |= memory(server.pid)
    sample |= sockets(server.pid, int(server.address.rpartition(":")[2]))
    return sample
