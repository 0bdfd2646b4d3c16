"""Waits until a server is at rest: only those are there who shall be, and nothing waits for anyone.

Not a verdict: it gives up after a while, and what is there then is for the judge.
"""

import time

from . import sample
from .server import LONGEST

# What gone clients leave in a server is gone a longest deadline later; the rest is for a busy machine.
PATIENCE = LONGEST + 48.0


def settle(server, held, patience=PATIENCE):
    """Whether the server came to rest with so many connections. At rest without any, its wheel is empty."""
    limit = time.monotonic() + patience
    while server.lives():
        now = sample.of_metrics(server.metrics())
        waiting = now["outbox"] + now["inbox"] + now["mailbox"] + now["buffers"]
        if now["active"] == now["slots"] == held and waiting == 0 and (held or now["wheel"] == 0):
            return True
        if time.monotonic() > limit:
            return False
        time.sleep(0.25)
    return False
