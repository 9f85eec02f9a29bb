"""A real host for the tests: "coma backend start" in a process of its own, on folders and ports of its own.

COMA_BINARY says which coma; python_test.go, beside this folder, builds one. By hand:

    go build -o /tmp/coma ./cmd/coma && COMA_BINARY=/tmp/coma python3 -m unittest discover -s clients/python/tests
"""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

TOKEN = "a-token-of-the-tests"
PATIENCE = 60.0  # seconds that a busy machine may take for what takes none


def binary():
    found = os.environ.get("COMA_BINARY") or shutil.which("coma")
    if not found:
        raise RuntimeError("set COMA_BINARY to a built coma")
    return found


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Host:
    """A backend. It may be stopped, killed and started again; its folders, ports and token stay what they were."""

    def __init__(self):
        self._dir = tempfile.TemporaryDirectory(prefix="coma-py-")
        self.dir = pathlib.Path(self._dir.name)
        for name in ("data", "state", "run"):
            (self.dir / name).mkdir(mode=0o700)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("COMA_")}
        self.env.update(
            XDG_DATA_HOME=str(self.dir / "data"),
            XDG_STATE_HOME=str(self.dir / "state"),
            XDG_RUNTIME_DIR=str(self.dir / "run"),
            XDG_CACHE_HOME=str(self.dir / "cache"),
            COMA_TOKEN=TOKEN,
        )
        self.port, self.mqtt = free_port(), free_port()
        self.http = f"http://127.0.0.1:{self.port}"
        self.unix = f"unix://{self.dir}/run/coma/backend.sock"
        self.process = None

    def start(self):
        command = [binary(), "backend", "start", "--foreground", "--api-port", str(self.port), "--mqtt-port", str(self.mqtt)]
        self.process = subprocess.Popen(command, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        line = self.process.stdout.readline()  # it says so when it runs
        if "runs" not in line:
            self._end(signal.SIGKILL)
            raise RuntimeError(f"the backend said {line!r}")
        return self

    def stop(self):
        self._end(signal.SIGTERM)

    def kill(self):
        self._end(signal.SIGKILL)

    def _end(self, number):
        if self.process is None:
            return
        self.process.send_signal(number)
        self.process.wait(PATIENCE)
        self.process.stdout.close()
        self.process = None

    def close(self):
        self.stop()
        self._dir.cleanup()

    def coma(self, *args, **options):
        """Runs a command of coma's against this host and returns what it wrote."""
        return subprocess.run(
            [binary(), *args], env=self.env, capture_output=True, text=True, timeout=PATIENCE, check=True, **options
        ).stdout

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()


def until(condition, what):
    """Waits until condition holds; what it is says the error if it never does."""
    end = time.monotonic() + PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"it never came to pass that {what}")
        time.sleep(0.01)
