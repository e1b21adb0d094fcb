"""The programs of the workspace, as children of the tests."""

import json
import os
import pathlib
import select
import subprocess
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PATIENCE = 30


class Program:
    """A program while it runs: started on a free port, which it tells in its first line."""

    def __init__(self, name, **variables):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [TARGET / "debug" / name],
            env={"PORT": "0"} | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.log,
        )
        try:
            self.url = self._url()
        except BaseException:
            self.process.kill()
            self.stop()
            raise

    def _url(self):
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        line = self.process.stdout.readline().decode() if ready else ""
        if "http://" not in line:
            raise RuntimeError(f"the program does not come up: {line}{self.said()}")
        return "http://" + line.split("http://")[-1].strip()

    def said(self):
        self.log.seek(0)
        return self.log.read().decode()

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.log.close()


def calls(mock):
    """How often the mock was asked for anything."""
    with urllib.request.urlopen(f"{mock.url}/calls", timeout=PATIENCE) as answer:
        return json.load(answer)["total"]


def wait_until(true):
    """Waits for what is to come, not for ever."""
    until = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > until:
            raise TimeoutError("it did not come")
        time.sleep(0.01)
