"""Autobahn|Python (asyncio) as a peer: WebSocket, rawsocket over TCP and Unix sockets."""

import asyncio
import importlib.metadata
from urllib.parse import urlparse

import txaio
from autobahn.asyncio.rawsocket import WampRawSocketClientFactory
from autobahn.asyncio.wamp import ApplicationSession
from autobahn.asyncio.websocket import WampWebSocketClientFactory
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.serializer import CBORSerializer, JsonSerializer, MsgPackSerializer
from autobahn.wamp.types import (
    CallOptions,
    CallResult,
    ComponentConfig,
    PublishOptions,
    RegisterOptions,
    SubscribeOptions,
)
from line_protocol import Peer, WampError, decode, encode, present

SERIALIZERS = {
    "json": JsonSerializer,
    "msgpack": MsgPackSerializer,
    "cbor": CBORSerializer,
    "msgpack.batched": lambda: MsgPackSerializer(batched=True),
    "cbor.batched": lambda: CBORSerializer(batched=True),
}
NO_PPT = "has the older enc_* scheme instead of ppt_*"
NO_DISCLOSE = "has no disclose_me option"
NO_CHUNKS = "has no progressive call invocations"


class Session(ApplicationSession):
    """A session that hands its fate to futures."""

    def __init__(self, config, peer, name, joined):
        super().__init__(config)
        self.peer, self.name, self.joined = peer, name, joined
        self.left = asyncio.get_running_loop().create_future()
        self.handles: dict = {}
        self.calls: dict = {}

    def onJoin(self, details):
        self.joined.set_result(details)

    def onLeave(self, details):
        super().onLeave(details)
        if not self.joined.done():
            self.joined.set_exception(WampError(details.reason, [details.message]))
        if not self.left.done():
            self.left.set_result(details.reason)
        self.peer.event("left", self.name, reason=details.reason)

    def onDisconnect(self):
        super().onDisconnect()
        if not self.joined.done():
            self.joined.set_exception(WampError("transport.lost"))

    def onUserError(self, fail, msg):
        pass


class AutobahnPython(Peer):
    ABOUT = {
        "client": "autobahn-python",
        "version": importlib.metadata.version("autobahn"),
        "endpoints": [["websocket", name] for name in SERIALIZERS]
        + [[transport, name] for transport in ("rawsocket", "unix") for name in ("json", "msgpack", "cbor")],
        "cancel_modes": [None],
        "lacks": {
            "progressive_invocations.caller": NO_CHUNKS,
            "progressive_invocations.callee": NO_CHUNKS,
            "disclose.caller": NO_DISCLOSE,
            "disclose.publisher": NO_DISCLOSE,
            "passthru.caller": NO_PPT,
            "passthru.callee": NO_PPT,
            "passthru.publisher": NO_PPT,
            "passthru.subscriber": NO_PPT,
            "json.batched": "ends batched JSON with octet 0x18 instead of the specification's 0x1E",
        },
    }

    async def op_join(self, command):
        loop = asyncio.get_running_loop()
        txaio.config.loop = loop
        joined = loop.create_future()
        config = ComponentConfig(realm=command["realm"])
        serializer = SERIALIZERS[command["serializer"]]()
        sessions = []

        def make():
            sessions.append(Session(config, self, command["session"], joined))
            return sessions[-1]

        url = urlparse(command["url"])
        if command["transport"] == "websocket":
            factory = WampWebSocketClientFactory(make, url=command["url"], serializers=[serializer])
            factory.setProtocolOptions(openHandshakeTimeout=10, closeHandshakeTimeout=5, tcpNoDelay=True)
            await loop.create_connection(factory, url.hostname, url.port)
        elif command["transport"] == "rawsocket":
            factory = WampRawSocketClientFactory(make, serializer=serializer)
            await loop.create_connection(factory, url.hostname, url.port)
        else:
            factory = WampRawSocketClientFactory(make, serializer=serializer)
            await loop.create_unix_connection(factory, url.path)
        details = await joined
        self.sessions[command["session"]] = sessions[-1]
        return present(
            {
                "session_id": details.session,
                "realm": details.realm,
                "authid": details.authid,
                "authrole": details.authrole,
                "authmethod": details.authmethod,
                "authprovider": details.authprovider,
            }
        )

    async def op_leave(self, command):
        session = self.sessions.pop(command["session"])
        session.leave()
        return {"reason": await session.left}

    async def op_drop(self, command):
        """Cuts the transport without GOODBYE."""
        session = self.sessions.pop(command["session"])
        session._transport.abort()

    async def op_register(self, command):
        session = self.sessions[command["session"]]
        behaviour = command["behaviour"]
        options = RegisterOptions(details_arg="wamp_details", **command.get("options") or {})

        async def endpoint(*args, wamp_details, **kwargs):
            return await self._behave(session, behaviour, args, kwargs, wamp_details)

        registration = await _awaited(session.register(endpoint, command["procedure"], options=options))
        session.handles[registration.id] = registration
        return {"registration": registration.id}

    async def _behave(self, session, behaviour, args, kwargs, details):
        kind = behaviour["kind"]
        if kind == "echo":
            return CallResult(*args, **kwargs)
        if kind == "add":
            return CallResult(sum(args))
        if kind == "constant":
            return CallResult(decode(behaviour["value"]))
        if kind == "progress":
            if details.progress:
                for step in range(behaviour["count"]):
                    details.progress(step, of=behaviour["count"])
            return CallResult(behaviour["count"])
        if kind == "error":
            raise ApplicationError(behaviour["uri"], *decode(behaviour["args"]), **decode(behaviour["kwargs"]))
        if kind == "keywords":
            return CallResult(**decode(behaviour["kwargs"]))
        if kind == "details":
            seen = {
                name: getattr(details, name) for name in ("caller", "caller_authid", "caller_authrole", "procedure")
            }
            return CallResult(**present(seen))
        if kind == "slow":
            self.event("invoked", session.name, procedure=details.procedure)
            try:
                return CallResult(await self.hold())
            except asyncio.CancelledError:
                self.event("interrupted", session.name, procedure=details.procedure)
                raise ApplicationError("wamp.error.canceled") from None
        raise NotImplementedError(kind)

    async def op_unregister(self, command):
        session = self.sessions[command["session"]]
        await _awaited(session.handles.pop(command["registration"]).unregister())

    async def op_call(self, command):
        session = self.sessions[command["session"]]
        options = dict(command.get("options") or {})
        settings = {"details": True, **options}
        if settings.pop("receive_progress", False):
            settings["on_progress"] = lambda step: self.event(
                "progress",
                session.name,
                call=command["id"],
                args=encode(step.results or []),
                kwargs=encode(step.kwresults or {}),
            )
        future = session.call(
            command["procedure"],
            *decode(command.get("args", [])),
            **decode(command.get("kwargs", {})),
            options=CallOptions(**settings),
        )
        session.calls[command["id"]] = future
        try:
            result = await _awaited(future)
        except asyncio.CancelledError:
            raise WampError("wamp.error.canceled", ["locally"]) from None
        finally:
            session.calls.pop(command["id"], None)
        return {"args": encode(result.results or []), "kwargs": encode(result.kwresults or {})}

    async def op_cancel(self, command):
        self.sessions[command["session"]].calls[command["call"]].cancel()

    async def op_subscribe(self, command):
        session = self.sessions[command["session"]]
        topic = command["topic"]
        options = SubscribeOptions(details_arg="wamp_details", **command.get("options") or {})

        def handler(*args, wamp_details, **kwargs):
            names = ("publisher", "publisher_authid", "publisher_authrole", "topic", "retained")
            self.event(
                "event",
                session.name,
                subscribed=topic,
                subscription=wamp_details.subscription.id,
                publication=encode(wamp_details.publication),
                args=encode(args),
                kwargs=encode(kwargs),
                details=present({name: getattr(wamp_details, name) for name in names}),
            )

        subscription = await _awaited(session.subscribe(handler, topic, options=options))
        session.handles[subscription.id] = subscription
        return {"subscription": encode(subscription.id)}

    async def op_unsubscribe(self, command):
        session = self.sessions[command["session"]]
        await _awaited(session.handles.pop(decode(command["subscription"])).unsubscribe())

    async def op_publish(self, command):
        session = self.sessions[command["session"]]
        options = PublishOptions(**decode(command.get("options") or {}))
        done = session.publish(
            command["topic"],
            *decode(command.get("args", [])),
            **decode(command.get("kwargs", {})),
            options=options,
        )
        if done is None:
            return {}
        return {"publication": encode((await _awaited(done)).id)}


async def _awaited(future):
    """Turns the library's error into the protocol's."""
    try:
        return await future
    except ApplicationError as error:
        raise WampError(error.error, error.args, error.kwargs) from None


if __name__ == "__main__":
    AutobahnPython().run()
