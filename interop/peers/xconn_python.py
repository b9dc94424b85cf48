"""xconn for Python as a peer: its asyncio client over WebSocket, rawsocket and Unix sockets."""

import importlib.metadata

from line_protocol import Peer, WampError, decode, encode, present
from wampproto import serializers
from xconn.async_client import AsyncClient
from xconn.exception import ApplicationError
from xconn.types import Result

SERIALIZERS = {
    "json": serializers.JSONSerializer,
    "msgpack": serializers.MsgPackSerializer,
    "cbor": serializers.CBORSerializer,
}
BASIC = "announces no features in HELLO"


class XconnPython(Peer):
    ABOUT = {
        "client": "xconn-python",
        "version": importlib.metadata.version("xconn"),
        "endpoints": [[t, s] for t in ("websocket", "rawsocket", "unix") for s in SERIALIZERS],
        "binary_in_json": "raw",
        "lacks": {
            "progressive_results.caller": "ends the call at the first RESULT",
            "progressive_results.callee": "yields once",
            "progressive_invocations.caller": BASIC,
            "progressive_invocations.callee": BASIC,
            "cancel.caller": "cannot cancel a call",
            "cancel.callee": "does not know INTERRUPT",
            "identified.callee": BASIC,
            "identified.subscriber": BASIC,
            "error_kwargs.callee": "sends an error's args but not its kwargs",
            "publication_id.publisher": "does not hand out the publication id",
            "publication_id.subscriber": "does not hand out the publication id",
            "passthru.caller": BASIC,
            "passthru.callee": BASIC,
            "passthru.publisher": BASIC,
            "passthru.subscriber": BASIC,
        },
    }

    async def op_join(self, command):
        client = AsyncClient(serializer=SERIALIZERS[command["serializer"]]())
        name = command["session"]

        async def left():
            self.event("left", name)

        url = command["url"].replace("unix:/", "unix:///")
        session = await client.connect(url, command["realm"], disconnect_callback=left)
        session.handles = {}
        self.sessions[command["session"]] = session
        base = session._base_session
        return present({"session_id": base.id, "realm": base.realm, "authid": base.authid, "authrole": base.authrole})

    async def op_leave(self, command):
        await self.sessions.pop(command["session"]).leave()
        return {}

    async def op_drop(self, command):
        """Cuts the transport without GOODBYE."""
        transport = self.sessions.pop(command["session"])._base_session.transport
        writer = getattr(transport, "_writer", None)
        (writer or transport._websocket).transport.abort()

    async def op_register(self, command):
        name = command["session"]
        session = self.sessions[name]
        behaviour = command["behaviour"]

        async def endpoint(invocation):
            args, kwargs = invocation.args or [], invocation.kwargs or {}
            return await self._behave(name, behaviour, command["procedure"], args, kwargs, invocation.details or {})

        registration = await _awaited(session.register(command["procedure"], endpoint, command.get("options")))
        session.handles[registration.registration_id] = registration
        return {"registration": registration.registration_id}

    async def _behave(self, name, behaviour, procedure, args, kwargs, details):
        kind = behaviour["kind"]
        if kind == "echo":
            return Result(args, kwargs)
        if kind == "add":
            return Result([sum(args)])
        if kind == "constant":
            return Result([decode(behaviour["value"])])
        if kind == "progress":
            return Result([behaviour["count"]])
        if kind == "error":
            raise ApplicationError(behaviour["uri"], *decode(behaviour["args"]), **decode(behaviour["kwargs"]))
        if kind == "keywords":
            return Result(None, decode(behaviour["kwargs"]))
        if kind == "details":
            return Result([], {"procedure": procedure, **present(details)})
        if kind == "slow":
            self.event("invoked", name, procedure=procedure)
            return Result([await self.hold()])
        raise NotImplementedError(kind)

    async def op_unregister(self, command):
        session = self.sessions[command["session"]]
        await _awaited(session.handles.pop(command["registration"]).unregister())

    async def op_call(self, command):
        session = self.sessions[command["session"]]
        result = await _awaited(
            session.call(
                command["procedure"],
                decode(command.get("args", [])),
                decode(command.get("kwargs", {})),
                decode(command.get("options") or {}),
            )
        )
        return {"args": encode(result.args or []), "kwargs": encode(result.kwargs or {})}

    async def op_subscribe(self, command):
        name, topic = command["session"], command["topic"]
        session = self.sessions[name]

        async def handler(event):
            details = {"topic": topic, **present(event.details or {})}
            self.event(
                "event",
                name,
                subscribed=topic,
                args=encode(event.args or []),
                kwargs=encode(event.kwargs or {}),
                details=details,
            )

        subscription = await _awaited(session.subscribe(topic, handler, command.get("options") or {}))
        session.handles[subscription.subscription_id] = subscription
        return {"subscription": encode(subscription.subscription_id)}

    async def op_unsubscribe(self, command):
        session = self.sessions[command["session"]]
        await _awaited(session.handles.pop(decode(command["subscription"])).unsubscribe())

    async def op_publish(self, command):
        session = self.sessions[command["session"]]
        await _awaited(
            session.publish(
                command["topic"],
                decode(command.get("args", [])),
                decode(command.get("kwargs", {})),
                decode(command.get("options") or {}),
            )
        )
        return {}


async def _awaited(future):
    """Turns the library's error into the protocol's."""
    try:
        return await future
    except ApplicationError as error:
        raise WampError(error.message, error.args, error.kwargs) from None


if __name__ == "__main__":
    XconnPython().run()
