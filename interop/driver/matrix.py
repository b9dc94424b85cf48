"""Runs features over pairs of clients, transports and serializers, and keeps the score."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections import defaultdict
from typing import Callable, Iterator

from .feature import Feature
from .peer import Peer, PeerFailed, Session, WampError
from .router import Router

PAIRS_PER_CLIENTS = 3


class World:
    """The router, the peers and the sessions that are open between cases."""

    def __init__(self, router: Router, peers: list[Peer], without: list[str]):
        self.router, self.peers, self.without = router, peers, without
        self.open: dict[tuple, Session] = {}

    def join(self, peer: Peer, transport: str, serializer: str) -> Session:
        if not peer.alive():
            self.open = {key: kept for key, kept in self.open.items() if kept.peer is not peer}
            peer.start()
        return Session(peer, transport, serializer, self.router.urls[transport], self.router.realm)

    def session(self, peer: Peer, endpoint: tuple[str, str], side: str) -> Session:
        """An open session of this kind, kept from case to case."""
        key = (peer.name, *endpoint, side)
        kept = self.open.get(key)
        if kept is None or kept.left or not peer.alive():
            kept = self.open[key] = self.join(peer, *endpoint)
        return kept

    @contextlib.contextmanager
    def another(self, like: Session) -> Iterator[Session]:
        """One more session of the same client and kind, for the length of a block."""
        session = self.join(like.peer, like.transport, like.serializer)
        try:
            yield session
        finally:
            if not session.left:
                session.leave()

    def binary(self, session: Session, end: str) -> Session:
        """The session, or one of the same client that speaks MessagePack: passthru payload is binary.

        Each end has its own: a publisher does not receive its own events.
        """
        if session.serializer != "json":
            return session
        return self.session(session.peer, (session.transport, "msgpack"), f"passthru {end}")

    def endpoints(self, peer: Peer) -> list[tuple[str, str]]:
        return [(t, s) for t, s in peer.about["endpoints"] if t in self.router.urls and s not in self.without]

    def close(self) -> None:
        for session in self.open.values():
            if not session.left and session.peer.alive():
                with contextlib.suppress(PeerFailed, WampError):
                    session.leave()


class Score:
    """Runs, failures and gaps by client and feature."""

    def __init__(self) -> None:
        self.runs: dict[tuple[str, str], int] = defaultdict(int)
        self.failures: list[tuple[Feature, str, str, str]] = []
        self.failed: dict[tuple[str, str], int] = defaultdict(int)
        self.gaps: dict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)
        self.sides: dict[tuple[str, str], set[str]] = defaultdict(set)
        self.seconds: dict[str, float] = defaultdict(float)

    def note_gap(self, feature: Feature, client: str, role: str, reason: str) -> None:
        self.gaps[client, feature.name].add((role, reason))

    def note(self, feature: Feature, ends: tuple[str, str], clients: tuple[str, str], problem: str | None) -> None:
        for client, role in zip(clients, feature.roles):
            self.sides[client, feature.name].add(role)
        for client in set(clients):
            self.runs[client, feature.name] += 1
            self.failed[client, feature.name] += problem is not None
        if problem is not None:
            self.failures.append((feature, *ends, problem))


def pairs(world: World, feature: Feature, quick: bool, offset: int) -> Iterator[tuple]:
    """Peers and endpoints for one feature, so that the two ends differ in serializer and transport as often as not."""
    for active, passive in itertools.product(world.peers, world.peers):
        ends = list(itertools.product(world.endpoints(active), world.endpoints(passive)))
        if not feature.every_endpoint or quick:
            wanted = 2 if quick and feature.every_endpoint else 1 if quick else PAIRS_PER_CLIENTS
            # Golden-ratio steps spread a few picks evenly over all combinations; `offset` moves them by feature.
            picks = {int((offset + number) * 0.6180339887 * len(ends)) % len(ends) for number in range(wanted)}
            ends = [ends[pick] for pick in sorted(picks)]
        for one, other in ends:
            yield active, passive, one, other


def run(world: World, features: list[Feature], quick: bool, say: Callable[[str], None], failures_max: int) -> Score:
    """Every feature over its pairs."""
    score = Score()
    for number, feature in enumerate(features):
        begun, failures_before = time.monotonic(), len(score.failures)
        for active, passive, one, other in pairs(world, feature, quick, number * 7):
            if missing := feature.missing((active, passive), (one[0], other[0])):
                for client, role, reason in missing:
                    score.note_gap(feature, client, role, reason)
                continue
            problem = _run_case(world, feature, (active, one), (passive, other))
            ends = tuple(f"{peer.name}/{'/'.join(end)}" for peer, end in ((active, one), (passive, other)))
            score.note(feature, ends, (active.name, passive.name), problem)
            if problem is not None:
                say(f"FAIL {feature.name}: {ends[0]} -> {ends[1]}: {problem}")
            if len(score.failures) - failures_before >= failures_max:
                say(f"{feature.name}: gave up after {failures_max} failures")
                break
        score.seconds[feature.name] = time.monotonic() - begun
        say(f"{feature.name}: {score.seconds[feature.name]:.1f} s")
    return score


def _run_case(world: World, feature: Feature, active: tuple, passive: tuple) -> str | None:
    sessions: list[Session] = []
    try:
        for side, (peer, endpoint) in (("active", active), ("passive", passive)):
            if feature.own_sessions:
                sessions.append(world.join(peer, *endpoint))
            else:
                sessions.append(world.session(peer, endpoint, side))
        for session in sessions:
            session.events.clear()
        feature.run(*sessions, world)
        for session in sessions:
            session.undo_all()
            if feature.own_sessions and not session.left:
                session.leave()
        return None
    except (AssertionError, WampError, PeerFailed, KeyError, IndexError, ValueError, TypeError) as error:
        for session in sessions:
            _abandon(world, session)
        return f"{type(error).__name__}: {error}"


def _abandon(world: World, session: Session) -> None:
    """After a failure nothing of a session is trusted: the next case gets a new one."""
    session.undo.clear()
    for key, kept in list(world.open.items()):
        if kept is session:
            del world.open[key]
    if session.left or not session.peer.alive():
        return
    try:
        _, future = session.peer.begin("leave", session=session.name)
        session.peer.finish("leave", future, 1.0)
    except (PeerFailed, WampError):
        pass
