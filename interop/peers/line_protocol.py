"""The line protocol's Python side: one JSON object a line, commands in, replies and events out.

`README.md` in the folder above describes the protocol. A peer subclasses `Peer`, fills in `ABOUT` and
one coroutine per operation, and calls `run`. Libraries that print would corrupt the stream, so standard output
is taken away from them first.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
import threading
from typing import Any

SAFE_INTEGER_MAX = 2**53 - 1


class WampError(Exception):
    """An ERROR from the router or the other side, or the end of the session."""

    def __init__(self, uri: str, args: list | None = None, kwargs: dict | None = None):
        super().__init__(uri)
        self.uri, self.error_args, self.error_kwargs = uri, list(args or []), dict(kwargs or {})


def encode(value: Any) -> Any:
    """A WAMP value as line JSON: nothing is lost, whatever reads the line."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"$binary": base64.b64encode(bytes(value)).decode()}
    if isinstance(value, float):
        return {"$float": repr(value)}
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > SAFE_INTEGER_MAX:
        return {"$integer": str(value)}
    if isinstance(value, dict):
        return {str(key): encode(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(inner) for inner in value]
    return value


def decode(value: Any) -> Any:
    """The inverse of `encode`."""
    if isinstance(value, dict):
        if len(value) == 1:
            (key, inner), = value.items()
            if key == "$binary":
                return base64.b64decode(inner)
            if key == "$float":
                return float(inner)
            if key == "$integer":
                return int(inner)
        return {key: decode(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [decode(inner) for inner in value]
    return value


def present(details: dict) -> dict:
    """Details without the keys that are absent: libraries spell absence as `None`."""
    return {key: value for key, value in details.items() if value is not None}


class Peer:
    """Reads commands, runs each as a task, and writes replies and events."""

    ABOUT: dict = {}

    def __init__(self) -> None:
        self.sessions: dict[str, Any] = {}
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        self.background: set[asyncio.Task] = set()
        self.held: list[asyncio.Future] = []

    def send(self, message: dict) -> None:
        self._out.write(json.dumps(message, ensure_ascii=True) + "\n")
        self._out.flush()

    def event(self, kind: str, session: str, **fields: Any) -> None:
        self.send({"event": kind, "session": session, **fields})

    def spawn(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self.background.add(task)
        task.add_done_callback(self.background.discard)

    async def _handle(self, command: dict) -> None:
        number = command.get("id")
        try:
            operation = getattr(self, "op_" + command["op"], None)
            if operation is None:
                raise NotImplementedError(f"no operation {command['op']}")
            self.send({"id": number, "ok": await operation(command) or {}})
        except WampError as error:
            self.send(
                {
                    "id": number,
                    "error": {
                        "uri": error.uri,
                        "args": encode(error.error_args),
                        "kwargs": encode(error.error_kwargs),
                    },
                }
            )
        except Exception as error:  # noqa: BLE001 - whatever the library raises is the driver's to judge
            self.send({"id": number, "failure": f"{type(error).__name__}: {error}"})

    async def hold(self) -> str:
        """What a slow procedure waits for: `release`, or its cancellation."""
        self.held.append(asyncio.get_running_loop().create_future())
        return await self.held[-1]

    async def op_release(self, _command: dict) -> None:
        held, self.held = self.held, []
        for future in held:
            if not future.done():
                future.set_result("late")

    async def op_about(self, _command: dict) -> dict:
        return self.ABOUT

    async def _main(self) -> None:
        loop = asyncio.get_running_loop()
        lines: asyncio.Queue[str | None] = asyncio.Queue()

        def read() -> None:
            for line in sys.stdin:
                loop.call_soon_threadsafe(lines.put_nowait, line)
            loop.call_soon_threadsafe(lines.put_nowait, None)

        threading.Thread(target=read, daemon=True).start()
        while (line := await lines.get()) is not None:
            self.spawn(self._handle(json.loads(line)))

    def run(self) -> None:
        """Serves until standard input ends."""
        asyncio.run(self._main())
        os._exit(0)
