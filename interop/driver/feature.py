"""The features under test: each case takes an active and a passive session of any two clients.

Expectations are the specification's, as settled in the conformance reference and the design, never what some router
does. A case names what each side must be able to do; a client that lacks it is reported with its reason.
The active side calls or publishes, the passive side serves or subscribes.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any, Callable

from . import values
from .peer import PeerFailed, Session, WampError, check_same

RPC = ("caller", "callee")
EVENTS = ("publisher", "subscriber")
TIMEOUT_MS = 150
_counter = itertools.count(1)


def fresh(label: str) -> str:
    """A URI that nobody has used."""
    return f"com.example.{label}.n{next(_counter)}"


def expect_error(uri: str, run: Callable[[], Any]) -> WampError:
    """Runs something that must fail with this URI."""
    try:
        result = run()
    except WampError as error:
        assert error.uri == uri, f"got {error}, expected {uri}"
        return error
    raise AssertionError(f"got {result!r}, expected {uri}")


@dataclass
class Feature:
    """One row of the table."""

    name: str
    roles: tuple[str, str]
    run: Callable[..., None]
    needs: dict[str, list[str]] = field(default_factory=dict)
    every_endpoint: bool = False
    own_sessions: bool = False

    def missing(self, peers: tuple[Any, Any], transports: tuple[str, str]) -> list[tuple[str, str, str]]:
        """What the two clients lack: client, role, reason."""
        found = []
        for role, peer, transport in zip(self.roles, peers, transports):
            for need in self.needs.get(role, []):
                if (reason := peer.lacks(f"{need}.{role}", transport)) is not None:
                    found.append((peer.name, role, reason))
        return found


FEATURES: list[Feature] = []


def feature(name: str, roles: tuple[str, str], **settings: Any) -> Callable:
    def add(run: Callable) -> Callable:
        FEATURES.append(Feature(name, roles, run, **settings))
        return run

    return add


@feature("rpc", RPC, every_endpoint=True)
def rpc(caller: Session, callee: Session, _world: Any) -> None:
    procedure = fresh("echo")
    callee.register(procedure)
    check_same(caller.call(procedure, 1, "two", [3]), ([1, "two", [3]], {}), caller, callee)
    check_same(caller.call(procedure, "x", key={"a": 1}), (["x"], {"key": {"a": 1}}), caller, callee)
    check_same(caller.call(procedure), ([], {}), caller, callee)
    callee.undo_last()
    expect_error("wamp.error.no_such_procedure", lambda: caller.call(procedure))
    total = fresh("add")
    callee.register(total, "add")
    check_same(caller.call(total, 23, 19), ([42], {}), caller, callee)


@feature("kwargs without args in calls", RPC)
def kwargs_alone_in_calls(caller: Session, callee: Session, _world: Any) -> None:
    # Some libraries write null where the empty list belongs; it must not reach the other side.
    echo, keywords = fresh("echo"), fresh("keywords")
    callee.register(echo)
    check_same(caller.call(echo, key=7), ([], {"key": 7}), caller, callee)
    callee.register(keywords, "keywords", kwargs={"answer": 42})
    check_same(caller.call(keywords), ([], {"answer": 42}), caller, callee)


@feature("kwargs without args in events", EVENTS)
def kwargs_alone_in_events(publisher: Session, subscriber: Session, _world: Any) -> None:
    topic = fresh("keywords")
    subscriber.subscribe(topic)
    publisher.publish(topic, key=7)
    event = subscriber.next_event(topic)
    check_same((event["args"], event["kwargs"]), ([], {"key": 7}), publisher, subscriber)


@feature("many calls at once", RPC, needs={"caller": ["concurrency"], "callee": ["concurrency"]})
def many_calls(caller: Session, callee: Session, _world: Any) -> None:
    procedure = fresh("many")
    callee.register(procedure)
    calls = [caller.start_call(procedure, [number]) for number in range(200)]
    for number, call in enumerate(calls):
        check_same(call.result(), ([number], {}), caller, callee)


@feature("events", EVENTS, every_endpoint=True)
def events(publisher: Session, subscriber: Session, _world: Any) -> None:
    topic = fresh("topic")
    subscriber.subscribe(topic)
    publication = publisher.publish(topic, "first", 1, key="value")
    event = subscriber.next_event(topic)
    check_same((event["args"], event["kwargs"]), (["first", 1], {"key": "value"}), publisher, subscriber)
    if publication is not None and event["publication"] is not None:
        assert publication == event["publication"], f"PUBLISHED {publication}, EVENT {event['publication']}"
        assert 1 <= publication <= 2**53, publication
    publisher.publish(topic, options={"acknowledge": False})
    event = subscriber.next_event(topic)
    check_same((event["args"], event["kwargs"]), ([], {}), publisher, subscriber)
    subscriber.undo_last()
    publisher.publish(topic, "nobody hears this")


@feature("event order", EVENTS, needs={"subscriber": ["order"]})
def event_order(publisher: Session, subscriber: Session, _world: Any) -> None:
    one, other = fresh("order"), fresh("order")
    subscriber.subscribe(one)
    subscriber.subscribe(other)
    for number in range(50):
        publisher.publish(one if number % 2 else other, number, options={"acknowledge": number % 10 == 0})
    for number in range(50):
        event = subscriber.wait("event")
        check_same(values.decode(event["args"]), [number], publisher, subscriber)


def _payload(*ends: Session) -> list:
    """Every value that both ends can hold."""
    limit = min(end.integer_max for end in ends)
    whole = [number for number in values.INTEGERS if abs(number) <= limit]
    fractions = list(values.FLOATS)
    if not any(end.loose_numbers for end in ends):
        fractions += values.INTEGRAL_FLOATS
    binaries = values.BINARIES if all(end.holds_binary for end in ends) else []
    return [group for group in (values.TEXTS, whole, fractions, values.STRUCTURES, binaries) if group]


@feature("values through calls", RPC, every_endpoint=True)
def values_through_calls(caller: Session, callee: Session, _world: Any) -> None:
    procedure = fresh("value")
    callee.register(procedure)
    for group in _payload(caller, callee):
        expected = caller.received(group)
        check_same(caller.call(procedure, *group, all=group), (expected, {"all": expected}), caller, callee)


@feature("values through events", EVENTS, every_endpoint=True)
def values_through_events(publisher: Session, subscriber: Session, _world: Any) -> None:
    topic = fresh("value")
    subscriber.subscribe(topic)
    for group in _payload(publisher, subscriber):
        publisher.publish(topic, *group, all=group)
        event = subscriber.next_event(topic)
        expected = subscriber.received(group)
        check_same((event["args"], event["kwargs"]), (expected, {"all": expected}), publisher, subscriber)


@feature("large payloads", RPC)
def large_payloads(caller: Session, callee: Session, _world: Any) -> None:
    procedure = fresh("large")
    callee.register(procedure)
    for size in (125, 126, 65_535, 65_536, 900_000):
        check_same(caller.call(procedure, "ä" * (size // 2)), (["ä" * (size // 2)], {}), caller, callee)


@feature("error uris", RPC)
def error_uris(caller: Session, callee: Session, _world: Any) -> None:
    procedure = fresh("taken")
    callee.register(procedure)
    expect_error("wamp.error.no_such_procedure", lambda: caller.call(fresh("missing")))
    expect_error("wamp.error.procedure_already_exists", lambda: caller.register(procedure))


@feature("error payloads", RPC, needs={"caller": ["error_payload"], "callee": ["error_uri"]})
def error_payloads(caller: Session, callee: Session, _world: Any) -> None:
    failing = fresh("failing")
    callee.register(failing, "error", uri="com.example.error.custom", args=["why", 7], kwargs={"detail": ["ü"]})
    error = expect_error("com.example.error.custom", lambda: caller.call(failing))
    check_same(error.error_args, ["why", 7], caller, callee)
    if callee.peer.lacks("error_kwargs.callee") is None:
        check_same(error.error_kwargs, {"detail": ["ü"]}, caller, callee)


@feature("pattern registration", RPC, needs={"callee": ["register_options"]})
def pattern_registration(caller: Session, callee: Session, _world: Any) -> None:
    # Exact beats the longest prefix, which beats wildcard (Advanced Profile, pattern-based registration).
    base = fresh("pattern")
    callee.register(base + ".a", "constant", {"match": "prefix"}, value="prefix")
    callee.register(base + "..c", "constant", {"match": "wildcard"}, value="wildcard")
    callee.register(base + ".a.c", "constant", value="exact")
    for called, expected in ((".a.c", "exact"), (".a.d", "prefix"), (".ab", "prefix"), (".b.c", "wildcard")):
        assert caller.call(base + called) == ([expected], {}), f"{base + called}: {caller.call(base + called)}"
    expect_error("wamp.error.no_such_procedure", lambda: caller.call(base + ".b.d"))
    seen = base + ".seen"
    callee.register(seen, "details", {"match": "prefix"})
    details = caller.call(seen + ".deep.er")[1]
    assert details["procedure"] == seen + ".deep.er", details


@feature("pattern subscription", EVENTS, needs={"subscriber": ["subscribe_options"]})
def pattern_subscription(publisher: Session, subscriber: Session, _world: Any) -> None:
    base = fresh("pattern")
    prefix, wildcard, exact = base + ".a", base + "..c", base + ".a.c"
    subscriber.subscribe(prefix, {"match": "prefix"})
    subscriber.subscribe(wildcard, {"match": "wildcard"})
    subscriber.subscribe(exact)
    publisher.publish(exact, 1)
    publisher.publish(base + ".ab", 2)
    publisher.publish(base + ".z.c", 3)
    publisher.publish(base + ".z.z", 4)
    for pattern, wanted in (
        (prefix, [(1, exact), (2, base + ".ab")]),
        (wildcard, [(1, exact), (3, base + ".z.c")]),
        (exact, [(1, exact)]),
    ):
        heard = [subscriber.next_event(pattern) for _ in wanted]
        got = sorted((event["args"][0], event["details"]["topic"]) for event in heard)
        assert got == wanted, f"{pattern}: got {got}, expected {wanted}"
    _quiet(subscriber)


def _quiet(subscriber: Session) -> None:
    """Nothing else is on its way: a round trip through the same session comes back, and no EVENT lies there."""
    subscriber.call("wamp.session.count")
    left_over = [each for each in subscriber.events if each["event"] == "event"]
    assert not left_over, f"unexpected {left_over}"


@feature("shared registration", RPC, needs={"callee": ["register_options"]})
def shared_registration(caller: Session, callee: Session, world: Any) -> None:
    procedure = fresh("shared")
    with world.another(callee) as second:
        callee.register(procedure, "constant", {"invoke": "roundrobin"}, value="one")
        second.register(procedure, "constant", {"invoke": "roundrobin"}, value="two")
        got = [caller.call(procedure)[0][0] for _ in range(6)]
        assert got in (["one", "two"] * 3, ["two", "one"] * 3), got
        with world.another(callee) as third:
            taken = "wamp.error.procedure_already_exists"
            expect_error(taken, lambda: third.register(procedure, "constant", {"invoke": "random"}, value="three"))
    for policy, expected in (("first", "one"), ("last", "two")):
        procedure = fresh("shared")
        with world.another(callee) as second:
            callee.register(procedure, "constant", {"invoke": policy}, value="one")
            second.register(procedure, "constant", {"invoke": policy}, value="two")
            assert [caller.call(procedure)[0][0] for _ in range(3)] == [expected] * 3, policy


@feature(
    "progressive results",
    RPC,
    needs={"caller": ["progressive_results", "call_options"], "callee": ["progressive_results"]},
)
def progressive_results(caller: Session, callee: Session, _world: Any) -> None:
    procedure = fresh("progress")
    callee.register(procedure, "progress", count=5)
    call = caller.start_call(procedure, options={"receive_progress": True})
    check_same(call.result(), ([5], {}), caller, callee)
    check_same(call.progress(), [([step], {"of": 5}) for step in range(5)], caller, callee)
    call = caller.start_call(procedure)
    check_same(call.result(), ([5], {}), caller, callee)
    assert call.progress() == [], call.progress()


@feature(
    "progressive invocations",
    RPC,
    needs={"caller": ["progressive_invocations", "call_options"], "callee": ["progressive_invocations"]},
)
def progressive_invocations(caller: Session, callee: Session, _world: Any) -> None:
    procedure = fresh("chunks")
    callee.register(procedure, "collect")
    for total in (2, 5):
        chunks = [[index, total] for index in range(total)]
        got = caller.start_call(procedure, chunks=chunks).result()
        check_same(got, (sum(chunks, []), {}), caller, callee)
    check_same(caller.start_call(procedure, chunks=[[0, 1]]).result(), ([0, 1], {}), caller, callee)


def _cancel_modes(caller: Session) -> list[str | None]:
    return caller.peer.about.get("cancel_modes", ["killnowait", "kill", "skip"])


@feature("cancel", RPC, needs={"caller": ["cancel"], "callee": ["cancel", "slow"]})
def cancel(caller: Session, callee: Session, _world: Any) -> None:
    procedure = fresh("slow")
    callee.register(procedure, "slow")
    for mode in _cancel_modes(caller):
        call = caller.start_call(procedure)
        callee.wait("invoked")
        call.cancel(mode)
        try:
            raise AssertionError(f"{mode}: got {call.result()}")
        except WampError as error:
            assert error.uri == "wamp.error.canceled", f"{mode}: {error}"
        if mode == "skip":
            callee.ask("release")
        else:
            callee.wait("interrupted")
    echo = fresh("echo")
    callee.register(echo)
    check_same(caller.call(echo, "still there"), (["still there"], {}), caller, callee)


@feature("cancel without callee support", RPC, needs={"caller": ["cancel"], "callee": ["slow"]})
def cancel_skips(caller: Session, callee: Session, _world: Any) -> None:
    # A callee that does not announce call_canceling must never see INTERRUPT; the caller is answered at once.
    if callee.peer.lacks("cancel.callee") is None:
        return
    procedure = fresh("slow")
    callee.register(procedure, "slow")
    call = caller.start_call(procedure)
    callee.wait("invoked")
    call.cancel(_cancel_modes(caller)[0])
    expect_error("wamp.error.canceled", call.result)
    callee.ask("release")
    echo = fresh("echo")
    callee.register(echo)
    check_same(caller.call(echo, "still there"), (["still there"], {}), caller, callee)


@feature("timeout", RPC, needs={"caller": ["call_options"], "callee": ["slow"]})
def timeout(caller: Session, callee: Session, _world: Any) -> None:
    procedure = fresh("slow")
    callee.register(procedure, "slow")
    call = caller.start_call(procedure, options={"timeout": TIMEOUT_MS})
    callee.wait("invoked")
    expect_error("wamp.error.timeout", call.result)
    if callee.peer.lacks("cancel.callee") is None:
        callee.wait("interrupted")
    callee.ask("release")
    echo = fresh("echo")
    callee.register(echo)
    check_same(caller.call(echo, "in time", options={"timeout": 5000}), (["in time"], {}), caller, callee)


@feature("callee leaves during a call", RPC, needs={"callee": ["slow"]}, own_sessions=True)
def callee_leaves(caller: Session, callee: Session, _world: Any) -> None:
    procedure = fresh("slow")
    callee.register(procedure, "slow")
    call = caller.start_call(procedure)
    callee.wait("invoked")
    _, leaving = callee.peer.begin("leave", session=callee.name)
    expect_error("wamp.error.canceled", call.result)
    callee.left = True
    callee.peer.ask("release")
    try:
        callee.peer.finish("leave", leaving)
    except PeerFailed:
        pass  # Some libraries fail their own leave when a procedure still runs; the router's part is done.
    expect_error("wamp.error.no_such_procedure", lambda: caller.call(procedure))


@feature("caller disclosed", RPC, needs={"caller": ["disclose", "call_options"], "callee": ["identified"]})
def caller_disclosed(caller: Session, callee: Session, _world: Any) -> None:
    procedure = fresh("details")
    callee.register(procedure, "details")
    _, details = caller.call(procedure, options={"disclose_me": True})
    check_same(details.get("caller"), caller.id, caller, callee)
    for key in ("authid", "authrole"):
        if key in caller.info:
            assert details.get("caller_" + key) == caller.info[key], f"{key}: {details} against {caller.info}"
    _, details = caller.call(procedure)
    assert not any(key.startswith("caller") for key in details), f"not asked for: {details}"


@feature("publisher disclosed", EVENTS, needs={"publisher": ["disclose", "publish_options"], "subscriber": ["identified"]})
def publisher_disclosed(publisher: Session, subscriber: Session, _world: Any) -> None:
    topic = fresh("disclosed")
    subscriber.subscribe(topic)
    publisher.publish(topic, options={"disclose_me": True})
    details = subscriber.next_event(topic)["details"]
    check_same(details.get("publisher"), publisher.id, publisher, subscriber)
    for key in ("authid", "authrole"):
        if key in publisher.info:
            assert details.get("publisher_" + key) == publisher.info[key], f"{key}: {details} against {publisher.info}"
    publisher.publish(topic)
    details = subscriber.next_event(topic)["details"]
    assert not any(key.startswith("publisher") for key in details), f"not asked for: {details}"


@feature(
    "retention",
    EVENTS,
    needs={"publisher": ["retain", "publish_options"], "subscriber": ["retain", "subscribe_options"]},
)
def retention(publisher: Session, subscriber: Session, _world: Any) -> None:
    topic = fresh("retained")
    publisher.publish(topic, "old", options={"retain": True})
    publication = publisher.publish(topic, "new", options={"retain": True})
    publisher.publish(topic, "passing")
    subscriber.subscribe(topic, {"get_retained": True})
    event = subscriber.next_event(topic)
    assert event["args"] == ["new"], event
    assert event["details"].get("retained") is True, event
    if publication is not None and event["publication"] is not None:
        assert publication == event["publication"], f"PUBLISHED {publication}, EVENT {event}"
    publisher.publish(topic, "live")
    event = subscriber.next_event(topic)
    assert event["args"] == ["live"] and not event["details"].get("retained"), event


PASSTHRU = [("x_custom", "msgpack"), ("mqtt", "cbor"), ("wamp", "cbor")]


@feature("passthru of calls", RPC, needs={"caller": ["passthru", "call_options"], "callee": ["passthru"]})
def passthru_calls(caller: Session, callee: Session, world: Any) -> None:
    caller, callee = world.binary(caller, "caller"), world.binary(callee, "callee")
    procedure = fresh("passthru")
    callee.register(procedure)
    for scheme, serializer in PASSTHRU:
        options = {"ppt_scheme": scheme, "ppt_serializer": serializer}
        got = caller.call(procedure, "sealed", 7, options=options, key="ü")
        check_same(got, (["sealed", 7], {"key": "ü"}), caller, callee)


@feature("passthru of events", EVENTS, needs={"publisher": ["passthru", "publish_options"], "subscriber": ["passthru"]})
def passthru_events(publisher: Session, subscriber: Session, world: Any) -> None:
    publisher, subscriber = world.binary(publisher, "publisher"), world.binary(subscriber, "subscriber")
    topic = fresh("passthru")
    subscriber.subscribe(topic)
    for scheme, serializer in PASSTHRU:
        options = {"ppt_scheme": scheme, "ppt_serializer": serializer}
        publisher.publish(topic, "sealed", 7, options=options, key="ü")
        event = subscriber.next_event(topic)
        check_same((event["args"], event["kwargs"]), (["sealed", 7], {"key": "ü"}), publisher, subscriber)
        assert event["details"].get("ppt_scheme") == scheme, event


@feature("publisher exclusion", EVENTS)
def publisher_exclusion(publisher: Session, subscriber: Session, _world: Any) -> None:
    topic = fresh("exclusion")
    publisher.subscribe(topic)
    subscriber.subscribe(topic)
    publisher.publish(topic, "not to me")
    assert subscriber.next_event(topic)["args"] == ["not to me"]
    _quiet(publisher)
    can_opt_out = not (publisher.peer.lacks("exclude_me.publisher") or publisher.peer.lacks("publish_options.publisher"))
    if can_opt_out:
        publisher.publish(topic, "to me too", options={"exclude_me": False})
        assert publisher.next_event(topic)["args"] == ["to me too"]
        assert subscriber.next_event(topic)["args"] == ["to me too"]


@feature(
    "exclude and eligible lists",
    EVENTS,
    needs={"publisher": ["publish_options"], "subscriber": ["session_id"]},
)
def lists(publisher: Session, subscriber: Session, world: Any) -> None:
    topic = fresh("lists")
    with world.another(subscriber) as other:
        subscriber.subscribe(topic)
        other.subscribe(topic)
        steps: list[tuple[dict, bool, bool]] = [
            ({"exclude": [subscriber.id]}, False, True),
            ({"eligible": [subscriber.id]}, True, False),
            ({"eligible": [subscriber.id, other.id], "exclude": [other.id]}, True, False),
        ]
        authid, authrole = subscriber.info.get("authid"), subscriber.info.get("authrole")
        if authid and other.info.get("authid") != authid:
            steps += [({"exclude_authid": [authid]}, False, True), ({"eligible_authid": [authid]}, True, False)]
        if authrole:
            steps += [({"eligible_authrole": [authrole]}, True, True), ({"exclude_authrole": [authrole]}, False, False)]
        for number, (options, one, two) in enumerate(steps):
            publisher.publish(topic, number, options=options)
            for session, wanted in ((subscriber, one), (other, two)):
                if wanted:
                    check_same(session.next_event(topic)["args"], [number], publisher, session)
        _quiet(subscriber)
        _quiet(other)


@feature("meta procedures", RPC, needs={"caller": ["session_id"], "callee": ["session_id"]})
def meta_procedures(caller: Session, callee: Session, _world: Any) -> None:
    procedure, topic = fresh("meta"), fresh("meta")
    registration = callee.register(procedure)
    subscription = callee.subscribe(topic)
    (count,), _ = caller.call("wamp.session.count")
    (listed,), _ = caller.call("wamp.session.list")
    assert count >= 2 and count == len(listed), (count, listed)
    assert {caller.id, callee.id} <= set(map(int, listed)), (caller.id, callee.id, listed)
    (details,), _ = caller.call("wamp.session.get", callee.id)
    assert int(details["session"]) == callee.id, details
    for key in ("authid", "authrole", "authmethod", "authprovider"):
        assert key in details, f"{key} missing: {details}"
    expect_error("wamp.error.no_such_session", lambda: caller.call("wamp.session.get", 4711))
    (found,), _ = caller.call("wamp.registration.lookup", procedure)
    (matched,), _ = caller.call("wamp.registration.match", procedure)
    assert found == matched is not None, (found, matched)
    if isinstance(registration, int):
        assert int(found) == registration, (found, registration)
    (described,), _ = caller.call("wamp.registration.get", found)
    assert (described["uri"], described["match"], described["invoke"]) == (procedure, "exact", "single"), described
    (callees,), _ = caller.call("wamp.registration.list_callees", found)
    assert list(map(int, callees)) == [callee.id], callees
    check_same(caller.call("wamp.registration.count_callees", found), ([1], {}), caller, callee)
    # A lone null result is no result at all to some libraries.
    missing, _ = caller.call("wamp.registration.lookup", fresh("missing"))
    assert missing in ([None], []), missing
    (found,), _ = caller.call("wamp.subscription.lookup", topic)
    if isinstance(subscription, int):
        assert int(found) == subscription, (found, subscription)
    (matching,), _ = caller.call("wamp.subscription.match", topic)
    assert matching == [found], (matching, found)
    (subscribers,), _ = caller.call("wamp.subscription.list_subscribers", found)
    assert list(map(int, subscribers)) == [callee.id], subscribers
    expect_error("wamp.error.no_such_subscription", lambda: caller.call("wamp.subscription.get", 4711))


@feature("meta events", EVENTS, needs={"publisher": ["session_id"]})
def meta_events(publisher: Session, subscriber: Session, world: Any) -> None:
    joins, leaves, registered = "wamp.session.on_join", "wamp.session.on_leave", "wamp.registration.on_create"
    for topic in (joins, leaves, registered):
        subscriber.subscribe(topic)
    with world.another(publisher) as passing:
        procedure = fresh("meta")
        passing.register(procedure)
        event = _event_where(subscriber, joins, lambda args: int(args[0]["session"]) == passing.id)
        assert {"authid", "authrole", "authmethod", "authprovider"} <= event["args"][0].keys(), event
        event = _event_where(subscriber, registered, lambda args: args[1]["uri"] == procedure)
        assert int(event["args"][0]) == passing.id, event
    # Three positionals: session, authid, authrole (conformance reference, D13).
    event = _event_where(subscriber, leaves, lambda args: int(args[0]) == passing.id)
    assert len(event["args"]) == 3, event


def _event_where(subscriber: Session, topic: str, where: Callable[[list], bool]) -> dict:
    while True:
        event = subscriber.next_event(topic)
        if where(event["args"]):
            return event


@feature("testament", EVENTS, own_sessions=True)
def testament(publisher: Session, subscriber: Session, _world: Any) -> None:
    topic = fresh("testament")
    subscriber.subscribe(topic)
    publisher.call("wamp.session.add_testament", topic, ["goodbye"], {"from": "beyond"})
    publisher.leave()
    event = subscriber.next_event(topic)
    check_same((event["args"], event["kwargs"]), (["goodbye"], {"from": "beyond"}), publisher, subscriber)


@feature("killed session", RPC, needs={"callee": ["session_id"]}, own_sessions=True)
def killed_session(caller: Session, callee: Session, _world: Any) -> None:
    procedure = fresh("killed")
    callee.register(procedure)
    assert caller.call(procedure, 1)[0] == [1]
    caller.call("wamp.session.kill", callee.id, reason="com.example.enough")
    expect_error("wamp.error.no_such_procedure", lambda: caller.call(procedure, 1))
    callee.wait("left")
