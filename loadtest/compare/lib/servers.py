"""A peer as a running process: started afresh on a free port, pinned to a core, ended.

Not what it is asked to do; that is `measure`.
"""

import contextlib
import socket
import subprocess
import tempfile
import time


class Failed(Exception):
    """A peer or a generator that did not do its part, in a few words."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def gist(words):
    """The line of a program's last words that says most: the first about an error, or the last."""
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    wrong = [line for line in lines if "error" in line.lower() or "panicked" in line]
    return (wrong or lines[-1:] or ["it says nothing"])[0]


@contextlib.contextmanager
def running(peer, places, core):
    """Starts a peer; gives its port and process id; ends that process and no other."""
    port = free_port()
    command = [part.format(port=port, here=peer.folder, **places) for part in peer.command]
    with tempfile.TemporaryFile() as log:
        # taskset executes the server in its own place, so that the process id is the server's.
        process = subprocess.Popen(["taskset", "-c", str(core), *command], cwd=peer.folder,
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_until_it_listens(process, port, log)
            yield port, process.pid
        finally:
            # Not asked politely: a server that drains would only keep the next one waiting.
            process.kill()
            process.wait()


def wait_until_it_listens(process, port, log):
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        if process.poll() is not None:
            log.seek(0)
            raise Failed(f"ended at once: {gist(log.read().decode(errors='replace'))}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise Failed(f"does not listen on port {port}")
