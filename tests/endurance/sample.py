"""What a server holds at one moment, by its own metrics and by the kernel's accounts of its process.

Not a judge: whether that is too much is decided in `judge`.
"""

import os
import re
import time

# What is asked for in each sample, and under which name it is kept.
GAUGES = {
    "active": "ws_connections_active",
    "slots": "ws_slots_used",
    "wheel": "ws_wheel_entries",
    "outbox": "ws_outbox_bytes",
    "inbox": "ws_inbox_bytes",
    "mailbox": "ws_mailbox_bytes",
    "requests": "ws_driver_requests",
    "buffers": "ws_driver_buffers_lent",
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

# How often descriptors are counted for one sample; the least holds.
GLANCES = 5

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


def tables(pid):
    """Whose descriptors there are: the process's, and those of each reactor's thread."""
    found = [f"/proc/{pid}"]
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/comm", encoding="utf-8") as file:
                if file.read().startswith("reactor-"):
                    found.append(f"/proc/{pid}/task/{task}")
        except FileNotFoundError:
            pass  # a thread that has ended since, and so was none of the reactors
    return found


def descriptors(pid):
    """Descriptors of all tables, those of rings too, and requests that wait in rings.

    Where reactors share one table each counts it; the number is as good to compare.
    """
    # A driver that asks for what only a descriptor tells has one more for a moment.
    open_there = min(opened(pid) for _ in range(GLANCES))
    found = rings(pid)
    return {"descriptors": open_there + sum(ring["files"] for ring in found.values()),
            "rings": len(found), "waiting": sum(ring["waiting"] for ring in found.values())}


def opened(pid):
    """Descriptors at this moment."""
    time.sleep(0.02)
    return sum(len(os.listdir(f"{table}/fd")) for table in tables(pid))


def rings(pid):
    """What the kernel tells of each ring (io_uring(7)), by inode: sockets in its table, and requests."""
    found = {}
    for table in tables(pid):
        for fd in os.listdir(f"{table}/fd"):
            try:
                if os.readlink(f"{table}/fd/{fd}") == "anon_inode:[io_uring]":
                    inode, ring = parse_ring(ring_text(f"{table}/fdinfo/{fd}"))
                    found[inode] = ring
            except FileNotFoundError:
                pass  # closed since
    return found


def ring_text(path):
    """The account of a ring. Of one that is being used at this moment little is told."""
    for _ in range(2000):
        with open(path, encoding="ascii") as file:
            text = file.read()
        if "PollList:" in text:
            return text
        time.sleep(0.001)
    raise TimeoutError(f"{path} tells nothing of its requests")


def parse_ring(text):
    """Its inode, and how many sockets and waiting requests it has."""
    inode = int(re.search(r"^ino:\s+(\d+)$", text, re.MULTILINE).group(1))
    files = len(re.findall(r"^ +\d+: (?!<none>)", text, re.MULTILINE))
    return inode, {"files": files, "waiting": len(re.findall(r"^  op=\d+", text, re.MULTILINE))}


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
