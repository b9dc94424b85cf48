from autobahn.asyncio.component import Component, run

component = Component(transports="ws://127.0.0.1:18080/ws", realm="realm1")

@component.on_join
async def joined(session, details):
    print(await session.call("com.example.greet", "world"))
    await session.leave()

run([component])
