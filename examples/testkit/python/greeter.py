"""The application under test: it greets, and goes on when the connection was lost."""

from autobahn.asyncio.component import Component


def greeter(url):
    transport = {"type": "websocket", "url": url, "max_retries": -1, "initial_retry_delay": 0.1}
    component = Component(transports=[transport], realm="realm1")

    @component.register("com.example.greet")
    def greet(name):
        return f"Hello, {name}!"

    return component
