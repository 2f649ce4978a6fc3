"""A headless Chromium for the system tests, driven by chromedriver over its own protocol: nothing to install but both.

Every page that is opened is watched: what the console says, and every address that is asked for.
"""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip


class Browser:
    """One window of a browser with a profile of its own; a context manager that ends both processes."""

    def __init__(self, profile: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._address = f"http://127.0.0.1:{port}"
        self._driver = subprocess.Popen(
            [str(DRIVER), f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            self._wait_for_driver()
            options = {"binary": CHROMIUM, "args": [*FLAGS, f"--user-data-dir={profile}"]}
            asked = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
            made = self._call("POST", "/session", {"capabilities": {"alwaysMatch": asked}})
            self._session = f"/session/{made['sessionId']}"
        except BaseException:
            self._driver.terminate()
            raise

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(Exception):
            self._call("DELETE", self._session)
        self._driver.terminate()
        self._driver.wait()

    def _wait_for_driver(self) -> None:
        for _ in range(200):
            with contextlib.suppress(OSError):
                self._call("GET", "/status")
                return
            time.sleep(0.1)
        raise RuntimeError("chromedriver does not answer")

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        data = json.dumps(body or {}).encode() if method == "POST" else None
        request = urllib.request.Request(  # noqa: S310
            self._address + path, data, {"Content-Type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()[:800]) from None

    def command(self, name: str, **params: Any) -> Any:
        """A command of the DevTools protocol."""
        return self._call("POST", f"{self._session}/goog/cdp/execute", {"cmd": name, "params": params})

    def look(self, width: int = 1280, height: int = 900, scheme: str = "light") -> None:
        """Size of the window, and the colour scheme that is preferred."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.command("Emulation.setDeviceMetricsOverride", **size)
        self.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, address: str) -> None:
        """Go to a page, from an empty one, so that a change after # loads it too."""
        for one in ("about:blank", address):
            self._call("POST", f"{self._session}/url", {"url": one})

    def run(self, script: str) -> Any:
        """What the script returns."""
        return self._call("POST", f"{self._session}/execute/sync", {"script": script, "args": []})

    def wait(self, script: str) -> Any:
        """What the script returns once that is true, at most some seconds later."""
        for _ in range(150):
            if found := self.run(f"return {script}"):
                return found
            time.sleep(0.1)
        raise AssertionError(f"never true on {self.run('return location.href')}: {script}; {self.complaints()}")

    def back(self) -> None:
        self._call("POST", f"{self._session}/back")

    def _log(self, kind: str) -> list[Any]:
        return self._call("POST", f"{self._session}/se/log", {"type": kind})

    def complaints(self) -> list[str]:
        """What the console said since the last call."""
        return [entry["message"] for entry in self._log("browser")]

    def addresses(self) -> list[str]:
        """Every address that was asked for since the last call."""
        events = [json.loads(entry["message"])["message"] for entry in self._log("performance")]
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]

    def picture(self) -> bytes:
        """The window as PNG."""
        return base64.b64decode(self.command("Page.captureScreenshot", format="png")["data"])
