"""A router under test: ours on free ports, or any other that is already running.

`Router.start` runs `bondy start --dev` with port 0 on every listener and waits for the readiness line.
`Router.at` only takes note of addresses. Neither knows anything about clients.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0
ADDRESS = re.compile(r"127\.0\.0\.1:(\d+)")


class RouterFailed(Exception):
    """The router did not start, or did not stop as it promises."""


@dataclass
class Router:
    """Addresses by transport (`websocket`, `rawsocket`, `unix`) and, of our own, the admin listener and the process."""

    urls: dict[str, str]
    realm: str = "realm1"
    process: subprocess.Popen | None = None
    log: list[str] = field(default_factory=list)
    log_path: Path | None = None
    folder: Path | None = None
    admin: str | None = None

    @classmethod
    def at(cls, urls: list[str], realm: str) -> Router:
        """Takes note of a router that is already running, by its `ws://`, `tcp://` and `unix:` URLs."""
        by_transport = {}
        for url in urls:
            scheme = url.split(":", 1)[0]
            transport = {"ws": "websocket", "tcp": "rawsocket", "rs": "rawsocket", "unix": "unix"}.get(scheme)
            if transport is None:
                raise RouterFailed(f"{url}: a router's URL begins with ws://, tcp:// or unix:")
            by_transport[transport] = url.replace("rs://", "tcp://")
        return cls(by_transport, realm)

    @classmethod
    def start(cls, binary: Path, log: Path | None = None) -> Router:
        """Starts `bondy start --dev`, logging to `log`, and returns once it has said that it is ready."""
        folder = Path(tempfile.mkdtemp(prefix="bondy-interop-"))
        socket = folder / "bondy.sock"
        command = [str(binary), "start", "--dev"]
        for setting in (
            "listeners.public.bind=127.0.0.1:0",
            "listeners.admin.bind=127.0.0.1:0",
            "listeners.tcp.bind=127.0.0.1:0",
            f"listeners.local.bind=unix:{socket}",
            "listeners.local.serve=[rawsocket]",
        ):
            command += ["--set", setting]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder
        )
        router = cls({}, process=process, log_path=log, folder=folder)
        atexit.register(router.kill)
        ready = threading.Event()
        threading.Thread(target=router._read, args=(ready, socket), daemon=True).start()
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not ready.wait(0.05):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                tail = "\n".join(router.log[-20:])
                raise RouterFailed(f"no readiness line from `{' '.join(command)}` (exit {process.poll()}):\n{tail}")
        return router

    def _read(self, ready: threading.Event, socket: Path) -> None:
        sink = open(self.log_path or os.devnull, "w", buffering=1)
        for line in self.process.stdout:
            sink.write(line)
            self.log.append(line.rstrip("\n"))
            del self.log[:-100]
            if not ready.is_set() and "ready" in line.lower():
                ports = addresses_in(line)
                if {"public", "tcp"} <= ports.keys():
                    self.urls["websocket"] = f"ws://127.0.0.1:{ports['public']}/ws"
                    self.urls["rawsocket"] = f"tcp://127.0.0.1:{ports['tcp']}"
                    self.urls["unix"] = f"unix:{socket}"
                    if "admin" in ports:
                        self.admin = f"http://127.0.0.1:{ports['admin']}"
                    ready.set()

    def stop(self) -> int | None:
        """Sends SIGTERM to our own router and returns its exit code; does nothing to another's."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise RouterFailed(f"still running {STOP_TIMEOUT_S:.0f} s after SIGTERM") from None

    def kill(self) -> None:
        """What must not outlive the driver, however that ends."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


def exit_on_sigterm() -> None:
    """SIGTERM ends this process by way of its exit handlers, so that the router ends too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def addresses_in(line: str) -> dict[str, int]:
    """Listener name to port, from a readiness line in JSON or in text (`name=127.0.0.1:port` in any spelling)."""
    found: dict[str, int] = {}

    def walk(key: str, value: object) -> None:
        if isinstance(value, dict):
            name = value.get("name") or value.get("listener") or key
            for inner_key, inner in value.items():
                inner_is_address = inner_key in ("bind", "address", "addr", "bound")
                walk(str(name) if inner_is_address else str(inner_key), inner)
        elif isinstance(value, list):
            for inner in value:
                walk(key, inner)
        elif isinstance(value, str):
            named = re.findall(r"(\w+)[^\w,;]{1,4}(?:ws://|tcp://|http://)?127\.0\.0\.1:(\d+)", value)
            for name, port in named:
                found.setdefault(name, int(port))
            if not named and (match := ADDRESS.search(value)):
                found.setdefault(key, int(match.group(1)))

    try:
        walk("", json.loads(line))
    except ValueError:
        walk("", re.sub(r"\x1b\[[0-9;]*m", "", line))
    return found


def default_binary() -> Path:
    """The router to test: `BONDY_BINARY`, else the release build, else the debug build."""
    if named := os.environ.get("BONDY_BINARY"):
        return Path(named)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    release, debug = target / "release/bondy", target / "debug/bondy"
    return release if release.exists() or not debug.exists() else debug
