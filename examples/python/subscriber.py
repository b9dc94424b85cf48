from autobahn.asyncio.component import Component, run

component = Component(transports="ws://127.0.0.1:18080/ws", realm="realm1")

@component.subscribe("com.example.greeted")
def greeted(name):
    print(f"{name} was greeted")

run([component])
