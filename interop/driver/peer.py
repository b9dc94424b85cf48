"""Peers and their sessions as the driver sees them: commands with replies, and events to wait for.

A `Peer` is one process of one client library; it holds any number of sessions. Everything waits with a deadline.
"""

from __future__ import annotations

import collections
import itertools
import json
import subprocess
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import Any, Callable

from .values import as_json_text, decode, encode, same

REPLY_TIMEOUT_S = 10.0
EVENT_TIMEOUT_S = 5.0


class WampError(Exception):
    """The other side answered with ERROR or ABORT."""

    def __init__(self, uri: str, args: list, kwargs: dict):
        super().__init__(f"{uri} args={args!r} kwargs={kwargs!r}")
        self.uri, self.error_args, self.error_kwargs = uri, args, kwargs


class PeerFailed(Exception):
    """The peer's library refused, or did not answer in time, or its process ended."""


class Peer:
    """One process of one client library."""

    def __init__(self, name: str, command: list[str], cwd: Path, log: Path, trace: Callable[[str], None]):
        self.name, self.command, self.cwd, self.log, self.trace = name, command, cwd, log, trace
        self.numbers = itertools.count(1)
        self.pending: dict[int, Future] = {}
        self.sessions: dict[str, Session] = {}
        self.lock = threading.Lock()
        self.process: subprocess.Popen | None = None
        self.about: dict = {}

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=self.cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()
        self.about = self.ask("about")

    def _read(self, process: subprocess.Popen) -> None:
        for line in process.stdout:
            self.trace(f"{self.name} > {line.rstrip()}")
            try:
                message = json.loads(line)
            except ValueError:
                continue
            if "event" in message:
                session = self.sessions.get(message["session"])
                if session is not None:
                    session.take(message)
            elif (future := self.pending.pop(int(message["id"]), None)) is not None:
                future.set_result(message)
        for future in list(self.pending.values()):
            if not future.done():
                future.set_exception(PeerFailed(f"{self.name}: the process ended (exit {process.wait()})"))
        self.pending.clear()

    def begin(self, op: str, **fields: Any) -> tuple[int, Future]:
        """Sends a command; the future gets the raw reply."""
        number, future = next(self.numbers), Future()
        self.pending[number] = future
        line = json.dumps({"id": number, "op": op, **fields})
        self.trace(f"{self.name} < {line}")
        with self.lock:
            try:
                self.process.stdin.write(line + "\n")
                self.process.stdin.flush()
            except OSError as error:
                self.pending.pop(number, None)
                raise PeerFailed(f"{self.name}: {error}") from error
        return number, future

    def finish(self, op: str, future: Future, timeout_s: float = REPLY_TIMEOUT_S) -> dict:
        """Waits for a reply: its fields, or the error it carries."""
        try:
            reply = future.result(timeout_s)
        except FutureTimeout:
            raise PeerFailed(f"{self.name}: no reply to {op} within {timeout_s:.0f} s") from None
        if "error" in reply:
            error = reply["error"]
            raise WampError(error["uri"], decode(error["args"]), decode(error["kwargs"]))
        if "failure" in reply:
            raise PeerFailed(f"{self.name}: {op}: {reply['failure']}")
        return reply["ok"]

    def ask(self, op: str, **fields: Any) -> dict:
        return self.finish(op, self.begin(op, **fields)[1])

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        if self.process is None:
            return
        try:
            self.process.stdin.close()
            self.process.wait(5)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()

    def lacks(self, part: str, transport: str = "") -> str | None:
        """Why this client cannot take this part (over this transport), in its peer's words; `None` if it can."""
        lacks = self.about.get("lacks", {})
        return lacks.get(part) or lacks.get(f"{part}/{transport}")


class Call:
    """A call under way."""

    def __init__(self, session: Session, number: int, future: Future):
        self.session, self.number, self.future = session, number, future

    def result(self) -> tuple[list, dict]:
        reply = self.session.peer.finish("call", self.future)
        return decode(reply["args"]), decode(reply["kwargs"])

    def progress(self) -> list[tuple[list, dict]]:
        """The progressive results that have come so far."""
        seen = [each for each in list(self.session.events) if each["event"] == "progress"]
        return [(decode(e["args"]), decode(e["kwargs"])) for e in seen if int(e["call"]) == self.number]

    def cancel(self, mode: str | None) -> None:
        self.session.ask("cancel", call=self.number, **({"mode": mode} if mode else {}))


class Session:
    """One WAMP session at one peer, over one transport and serializer."""

    counter = itertools.count(1)

    def __init__(self, peer: Peer, transport: str, serializer: str, url: str, realm: str):
        self.peer, self.transport, self.serializer = peer, transport, serializer
        self.name = f"s{next(self.counter)}"
        self.events: collections.deque[dict] = collections.deque(maxlen=5000)
        self.changed = threading.Condition()
        self.undo: list[tuple[str, dict]] = []
        self.left = False
        peer.sessions[self.name] = self
        self.info = peer.ask(
            "join", session=self.name, url=url, realm=realm, transport=transport, serializer=serializer
        )

    def __str__(self) -> str:
        return f"{self.peer.name}/{self.transport}/{self.serializer}"

    @property
    def id(self) -> int:
        return decode(self.info["session_id"])

    @property
    def raw_binary(self) -> bool:
        return self.serializer.startswith("json") and self.peer.about.get("binary_in_json") == "raw"

    @property
    def loose_numbers(self) -> bool:
        loose = self.peer.about.get("loose_numbers", False)
        return loose is True or loose == self.serializer

    @property
    def integer_max(self) -> int:
        return int(self.peer.about.get("integer_max", {}).get(self.serializer, 2**64))

    @property
    def holds_binary(self) -> bool:
        return self.serializer not in self.peer.about.get("no_binary", [])

    def take(self, message: dict) -> None:
        with self.changed:
            self.left = self.left or message["event"] == "left"
            self.events.append(message)
            self.changed.notify_all()

    def wait(self, kind: str, where: Callable[[dict], bool] = lambda _: True, timeout_s: float = EVENT_TIMEOUT_S) -> dict:
        """The first event of this kind that fits, taken out of the queue."""
        deadline = time.monotonic() + timeout_s
        with self.changed:
            while True:
                for event in self.events:
                    if event["event"] == kind and where(event):
                        self.events.remove(event)
                        return event
                if not self.changed.wait(max(0.0, deadline - time.monotonic())) and time.monotonic() >= deadline:
                    raise PeerFailed(f"{self}: no {kind} event within {timeout_s:.0f} s")

    def next_event(self, topic: str) -> dict:
        """The next EVENT of the subscription to this topic or pattern, decoded."""
        event = self.wait("event", lambda each: each["subscribed"] == topic)
        details = decode(event["details"])
        publication = decode(event.get("publication"))
        return {
            "args": decode(event["args"]),
            "kwargs": decode(event["kwargs"]),
            "details": details,
            "publication": publication,
        }

    def ask(self, op: str, **fields: Any) -> dict:
        return self.peer.ask(op, session=self.name, **fields)

    def _payload(self, args: list, kwargs: dict) -> dict:
        """What goes on the line; kwargs alone go without args, so that the library fills the hole in its own way."""
        fields = {"args": args} if args or not kwargs else {}
        if kwargs:
            fields["kwargs"] = kwargs
        return encode(as_json_text(fields) if self.raw_binary else fields)

    def register(self, procedure: str, kind: str = "echo", options: dict | None = None, **behaviour: Any) -> Any:
        behaviour = {"kind": kind, **{key: encode(value) for key, value in behaviour.items()}}
        reply = self.ask("register", procedure=procedure, options=encode(options or {}), behaviour=behaviour)
        self.undo.append(("unregister", {"registration": reply["registration"]}))
        return decode(reply["registration"])

    def subscribe(self, topic: str, options: dict | None = None) -> Any:
        reply = self.ask("subscribe", topic=topic, options=encode(options or {}))
        self.undo.append(("unsubscribe", {"subscription": reply["subscription"]}))
        return decode(reply["subscription"])

    def undo_last(self) -> None:
        op, fields = self.undo.pop()
        self.ask(op, **fields)

    def undo_all(self) -> None:
        while self.undo and not self.left:
            self.undo_last()

    def start_call(
        self,
        procedure: str,
        args: list | None = None,
        kwargs: dict | None = None,
        options: dict | None = None,
        chunks: list | None = None,
    ) -> Call:
        fields: dict[str, Any] = {"procedure": procedure, "options": encode(options or {})}
        if chunks is not None:
            fields["chunks"] = encode(chunks)
        else:
            fields |= self._payload(args or [], kwargs or {})
        return Call(self, *self.peer.begin("call", session=self.name, **fields))

    def call(self, procedure: str, *args: Any, options: dict | None = None, **kwargs: Any) -> tuple[list, dict]:
        return self.start_call(procedure, list(args), kwargs, options).result()

    def publish(self, topic: str, *args: Any, options: dict | None = None, **kwargs: Any) -> Any:
        options = {"acknowledge": True} | (options or {})
        payload = self._payload(list(args), kwargs)
        return decode(self.ask("publish", topic=topic, options=encode(options), **payload).get("publication"))

    def received(self, value: Any) -> Any:
        """What this session's client hands its application for a value that arrives."""
        return as_json_text(value) if self.raw_binary else value

    def leave(self) -> None:
        self.undo.clear()
        self.ask("leave")
        self.left = True


def check_same(got: Any, expected: Any, *through: Session) -> None:
    """Fails unless the value came through these sessions unharmed."""
    loose = any(session.loose_numbers for session in through)
    if not same(got, expected, loose):
        raise AssertionError(f"got {got!r}, expected {expected!r}")
