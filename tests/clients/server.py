"""A pulsewheel of a test's own: started on ports that the kernel chooses, stopped at its end."""

import os
import re
import signal
import subprocess
import threading
import urllib.error
import urllib.request

START_LINE = re.compile(r"listens on ([0-9.]+:\d+)[^;]*; admin on (\S+:\d+);")
START_LIMIT = 10.0
EXIT_LIMIT = 15.0


class Server:
    """The binary that the environment variable PULSEWHEEL names, with these flags."""

    def __init__(self, *flags):
        self.flags = flags
        self.lines = []

    def __enter__(self):
        command = [os.environ["PULSEWHEEL"], "--listen=127.0.0.1:0", "--admin=127.0.0.1:0"]
        # Nothing waits for a drain here unless it asks for one.
        command += ["--drain-window=0s", "--close-timeout=2s", *self.flags]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        self._started = threading.Event()
        self._addresses = None
        self._reader = threading.Thread(target=self._read_log)
        self._reader.start()
        if not self._started.wait(START_LIMIT) or self._addresses is None:
            self.__exit__(None, None, None)
            raise AssertionError(f"the server did not start: {self.lines}")
        self.address, self.admin = self._addresses
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self._reader.join()

    def _read_log(self):
        with self.process.stderr as log:
            for line in log:
                self.lines.append(line)
                found = START_LINE.search(line)
                if found and self._addresses is None:
                    self._addresses = found.groups()
                    self._started.set()
        self._started.set()

    def url(self, path):
        """The address of a path for WebSocket clients."""
        return f"ws://{self.address}{path}"

    def drain(self):
        """Sends SIGTERM without waiting for what follows."""
        self.process.send_signal(signal.SIGTERM)

    def exit_code(self):
        """Waits for the end of a server that was told to end."""
        return self.process.wait(EXIT_LIMIT)

    def ask(self, path, body=None, content_type="text/plain"):
        """Status and text of what the admin port answers; a body makes it a POST."""
        request = urllib.request.Request(f"http://{self.admin}{path}", data=body)
        if body is not None:
            request.add_header("Content-Type", content_type)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, refusal.read().decode()

    def metric(self, name, **labels):
        """One sample of /metrics as it stands now."""
        _, text = self.ask("/metrics")
        wanted = {f'{label}="{value}"' for label, value in labels.items()}
        for line in text.splitlines():
            sample, _, value = line.rpartition(" ")
            head, _, rest = sample.partition("{")
            if head == name and wanted <= set(rest.rstrip("}").split(",")):
                return float(value)
        raise AssertionError(f"/metrics has no {name} with {labels}")
