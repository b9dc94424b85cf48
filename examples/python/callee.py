from autobahn.asyncio.component import Component, run

component = Component(transports="ws://127.0.0.1:18080/ws", realm="realm1")

@component.register("com.example.greet")
def greet(name):
    return f"Hello, {name}!"

run([component])
