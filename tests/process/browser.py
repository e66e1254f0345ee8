"""A real Chromium without a screen, driven over the DevTools protocol by the websockets library."""

import base64
import json
import os
import shutil
import subprocess
import time
import urllib.request
from contextlib import ExitStack

from websockets.sync.client import connect

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
)  # fmt: skip
PATIENCE = 30.0


class Browser:
    """One page. What the page's scripts complain about is in `complaints`."""

    def __init__(self, directory):
        self._stack = ExitStack()
        command = [
            PROGRAM,
            *QUIET,
            f"--user-data-dir={directory}",
            "--remote-debugging-port=0",
            "about:blank",
        ]
        # Under `make sanitize` a Chromium with the sanitizers' libraries would not get past its start.
        plain = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
        self._process = subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=plain
        )
        self._stack.callback(self._end)
        said = next(line for line in self._process.stderr if "DevTools listening on" in line)
        port = said.split("ws://", 1)[1].split("/", 1)[0]
        ask = urllib.request.Request(f"http://{port}/json/new?about:blank", method="PUT")
        with urllib.request.urlopen(ask, timeout=PATIENCE) as answer:
            where = json.load(answer)["webSocketDebuggerUrl"]
        self._line = self._stack.enter_context(connect(where, max_size=None, open_timeout=PATIENCE))
        self._number = 0
        self.complaints = []
        for domain in ("Runtime", "Log", "Page"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        """Do one thing of the protocol."""
        self._number += 1
        self._line.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            heard = json.loads(self._line.recv(timeout=PATIENCE))
            if heard.get("id") == self._number:
                assert "error" not in heard, heard
                return heard["result"]
            if heard.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.complaints.append(heard["params"])

    def open(self, url, width=1280, height=900, dark=False):
        """Show a page on a screen of that size."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=url)

    def value(self, expression):
        """Give what a JavaScript expression comes to."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, expression):
        """Wait until a JavaScript expression is true; give its value."""
        deadline = time.monotonic() + PATIENCE
        while not (value := self.value(expression)):
            assert time.monotonic() < deadline, f"waited {PATIENCE:g} s for {expression}; {self.complaints}"
        return value

    def picture(self, path):
        """Save what is on the screen as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def close(self):
        """End it."""
        self._stack.close()

    def _end(self):
        self._process.kill()
        self._process.wait()
        self._process.stderr.close()
