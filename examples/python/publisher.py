from autobahn.asyncio.component import Component, run
from autobahn.wamp import PublishOptions

component = Component(transports="ws://127.0.0.1:18080/ws", realm="realm1")

@component.on_join
async def joined(session, details):
    await session.publish("com.example.greeted", "world", options=PublishOptions(acknowledge=True))
    await session.leave()

run([component])
