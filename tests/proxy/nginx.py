"""An nginx of a test's own, from the configuration that is shipped: on ports that the kernel chooses, with
its files in a folder of its own, stopped at its end. Not for what it is to show: test_nginx."""

import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

SHIPPED = pathlib.Path(__file__).parents[2] / "deploy" / "nginx"
HTTP, STREAM = SHIPPED / "http.conf", SHIPPED / "stream.conf"
START_LIMIT = 20.0
EXIT_LIMIT = 15.0


def directives(path):
    """What a configuration says, each directive with its arguments, without comments and blocks."""
    text = re.sub(r"#.*", "", path.read_text())
    return [words for words in (part.split() for part in re.split(r"[;{}]", text)) if words]


def changed(text, *changes):
    """A text with each (old, new) put in its place; the old one must stand there exactly once."""
    for old, new in changes:
        if text.count(old) != 1:
            raise AssertionError(f"{old!r} stands there {text.count(old)} times")
        text = text.replace(old, new)
    return text


def reserve_port():
    """A socket that keeps a port for whoever binds it with SO_REUSEADDR, as nginx does: two may share
    one until the first of them listens, and the kernel gives it to nobody else."""
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    return reserved


def make_certificate(folder):
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )
    return certificate, key


class Nginx:
    """nginx with a shipped file, of which only what is marked as the site's own was changed, and these
    changes besides. `servers` are the addresses to hand connections to."""

    def __init__(self, shipped, servers, *changes):
        self.shipped, self.servers, self.changes = shipped, servers, changes

    def __enter__(self):
        target = os.environ.get("CARGO_TARGET_DIR", SHIPPED.parents[1] / "target")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="nginx-", dir=target))
        self.reserved = reserve_port()
        self.address = "127.0.0.1:{}".format(self.reserved.getsockname()[1])
        self.error_log, self.access_log = self.folder / "error.log", self.folder / "access.log"
        self.pid_file = self.folder / "pid"
        self.configuration = self.folder / "nginx.conf"
        self.configuration.write_text(self.localised())
        self.process = None
        return self

    def __exit__(self, *_):
        if self.process is not None:
            self.stop()
        self.reserved.close()
        shutil.rmtree(self.folder)

    def localised(self):
        text = self.shipped.read_text()
        servers = " ".join(f"server {server} max_fails=3 fail_timeout=2s;" for server in self.servers)
        own = [
            ("user www-data;", f"user {pwd.getpwuid(os.geteuid()).pw_name};"),
            ("pid /run/nginx.pid;", f"pid {self.pid_file}; daemon off;"),
            ("/var/log/nginx/error.log;", f"{self.error_log} info;"),
            ("/var/log/nginx/pulsewheel.log", f"{self.access_log}"),
            ("worker_processes auto;", "worker_processes 1;"),
            # As many as the machine of a test may allow.
            ("worker_rlimit_nofile 262144;", ""),
            ("worker_connections 131072;", "worker_connections 1000;"),
            ("listen 443", f"listen {self.address}"),
            ("server 127.0.0.1:9001 max_fails=3 fail_timeout=2s;", servers),
        ]
        if self.shipped == HTTP:
            self.certificate, key = make_certificate(self.folder)
            # What nginx keeps in files, it keeps in folders that its package has for its own user.
            kinds = ("client_body", "proxy", "fastcgi", "scgi", "uwsgi")
            paths = " ".join(f"{kind}_temp_path {self.folder / kind};" for kind in kinds)
            own += [
                ("http {", f"http {{ {paths}"),
                ("/etc/ssl/pulsewheel.pem", str(self.certificate)),
                ("/etc/ssl/pulsewheel.key", str(key)),
            ]
        return changed(text, *self.changes, *own)

    def command(self, *more):
        # Before it has read where its log is, it writes to the one it was built with.
        return ["nginx", "-p", self.folder, "-c", self.configuration, "-e", self.error_log, *more]

    def check(self):
        """What `nginx -t` makes of the configuration: exit code and words."""
        ended = subprocess.run(
            self.command("-t"), capture_output=True, text=True, timeout=EXIT_LIMIT, check=False
        )
        return ended.returncode, ended.stderr

    def start(self):
        """Starts it, and waits until its sockets listen."""
        # A session of its own, so that no worker can outlive a master that had to be killed.
        self.process = subprocess.Popen(
            self.command(), stdin=subprocess.DEVNULL, start_new_session=True
        )
        self.wait_for(lambda: self.pid_file.exists() and self.workers(), "nginx started")
        return self

    def stop(self):
        """Ends it and its workers at once."""
        try:
            self.process.terminate()
            self.process.wait(EXIT_LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise

    def wait_for(self, condition, what):
        limit = time.monotonic() + START_LIMIT
        while not condition():
            if self.process.poll() is not None or time.monotonic() > limit:
                raise AssertionError(f"not in time: {what}: {self.log()}")
            time.sleep(0.02)

    def workers(self):
        """Its workers, by process id, and what each calls itself."""
        pid = self.process.pid
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        titles = {child: pathlib.Path(f"/proc/{child}/cmdline") for child in children}
        titles = {child: path.read_bytes() for child, path in titles.items() if path.exists()}
        return {child: title.decode() for child, title in titles.items() if b"worker process" in title}

    def reload(self):
        """Has it read its configuration again, and waits until new workers are at work."""
        old = set(self.workers())
        self.process.send_signal(signal.SIGHUP)

        def over():
            workers = self.workers()
            retired = all("shutting down" in title for pid, title in workers.items() if pid in old)
            return retired and set(workers) - old

        self.wait_for(over, "new workers took over")

    def log(self):
        """What it has complained of."""
        return self.error_log.read_text() if self.error_log.exists() else ""
