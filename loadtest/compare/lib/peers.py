"""Who is measured: peers as their files describe them, what they need, and how they are built.

Not how they are started; that is `servers`.
"""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field

SCENARIOS = ("echo", "idle", "broadcast")
HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOT = os.path.dirname(os.path.dirname(HERE))


@dataclass
class Peer:
    """One `[[peer]]` of a file; see the head of `peers.toml` for the keys."""

    name: str
    command: list
    about: str = ""
    needs: dict = field(default_factory=dict)
    build: list = field(default_factory=list)
    echo: str | None = None
    idle: str | None = None
    broadcast: str | None = None
    # The folder of its file, where its build commands run.
    folder: str = HERE
    # Why it can't take part, in a few words.
    failure: str | None = None

    def url(self, scenario):
        return getattr(self, scenario, None)

    def is_floor(self):
        """Plain TCP, without a WebSocket's work."""
        return any((self.url(scenario) or "").startswith("tcp://") for scenario in SCENARIOS)


def read(path):
    """The peers of a file; ends the program with a line where the file makes no sense."""
    try:
        with open(path, "rb") as file:
            tables = tomllib.load(file)["peer"]
        return [Peer(folder=os.path.dirname(os.path.abspath(path)), **table) for table in tables]
    except (OSError, KeyError, TypeError, tomllib.TOMLDecodeError) as error:
        sys.exit(f"run: {path}: {error}")


def say(text):
    print(f"run: {text}", file=sys.stderr, flush=True)


def cargo(*arguments):
    if subprocess.run(["cargo", *arguments], check=False).returncode:
        sys.exit(f"run: cargo {' '.join(arguments)} failed")


def target_folder(manifest):
    """Where cargo puts what it builds of a workspace."""
    command = ["cargo", "metadata", "--no-deps", "--format-version", "1", "--manifest-path", manifest]
    metadata = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(metadata)["target_directory"]


def build(peers, skip):
    """Builds the generator, the floors and every peer; gives what the placeholders stand for.

    A peer that can't be built keeps the reason in `failure`; without the generator nothing goes on.
    """
    root, compare = os.path.join(ROOT, "Cargo.toml"), os.path.join(HERE, "Cargo.toml")
    target = target_folder(compare)
    places = {"root": os.path.join(target_folder(root), "release"),
              "compare": os.path.join(target, "release"), "target": target}
    if skip:
        return places
    packages = ["-p", "pulsewheel-loadtest"]
    if any("{root}/pulsewheel" in part for peer in peers for part in peer.command):
        packages += ["-p", "pulsewheel"]
    cargo("build", "--release", "--manifest-path", root, *packages)
    cargo("build", "--release", "--manifest-path", compare)
    for peer in peers:
        peer.failure = missing(peer) or failing(peer, places)
        if peer.failure:
            say(f"{peer.name} takes no part: {peer.failure}")
    return places


def missing(peer):
    """Installs the programs that a build needs, as root on Debian; says what is still missing."""
    absent = {program: package for program, package in peer.needs.items() if not shutil.which(program)}
    if absent and os.geteuid() == 0 and shutil.which("apt-get"):
        say(f"{peer.name} needs {', '.join(absent)}: installing {', '.join(absent.values())}")
        subprocess.run(["apt-get", "-qq", "update"], check=False, stdout=sys.stderr)
        subprocess.run(["apt-get", "-qq", "install", "-y", "--no-install-recommends",
                        *absent.values()], check=False, stdout=sys.stderr)
        absent = {program: package for program, package in absent.items() if not shutil.which(program)}
    if absent:
        return f"needs {', '.join(absent)} (apt-get install {' '.join(absent.values())})"
    return None


def failing(peer, places):
    """Runs a peer's build commands; says which one failed."""
    for command in peer.build:
        command = [part.format(here=peer.folder, **places) for part in command]
        try:
            result = subprocess.run(command, cwd=peer.folder, check=False, stdout=sys.stderr)
        except OSError as error:
            return f"cannot be built: {error}"
        if result.returncode:
            return f"cannot be built: {' '.join(command[:3])} failed"
    return None
