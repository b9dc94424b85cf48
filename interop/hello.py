#!/usr/bin/env python3
"""One real Autobahn|Python client calls one real Autobahn|Python callee through the router.

The first thing that has to work. Run it with the suite's interpreter: `interop/.venv/bin/python interop/hello.py`
(`--router ws://...` for a router that is already running).
"""

import argparse
import asyncio
import sys
from pathlib import Path

from autobahn.asyncio.wamp import ApplicationRunner, ApplicationSession

sys.path.insert(0, str(Path(__file__).resolve().parent))
from driver.router import Router, default_binary, exit_on_sigterm  # noqa: E402

DEADLINE_S = 10.0


async def join(url: str, realm: str) -> ApplicationSession:
    """Connects over WebSocket and returns the session once WELCOME has come."""
    joined = asyncio.get_running_loop().create_future()

    class Session(ApplicationSession):
        async def onJoin(self, details):
            if not joined.done():
                joined.set_result(self)

        def onLeave(self, details):
            if not joined.done():
                joined.set_exception(RuntimeError(f"refused: {details.reason}: {details.message}"))
            super().onLeave(details)

    await ApplicationRunner(url, realm).run(Session, start_loop=False)
    return await joined


async def hello(url: str, realm: str) -> None:
    callee = await join(url, realm)
    caller = await join(url, realm)
    await callee.register(lambda a, b: a + b, "com.example.add")
    total = await caller.call("com.example.add", 2, 3)
    assert total == 5, total
    heard = asyncio.get_running_loop().create_future()
    await callee.subscribe(heard.set_result, "com.example.greeting")
    caller.publish("com.example.greeting", "hello")
    assert await heard == "hello"
    for session in (caller, callee):
        await session.leave()
    print("hello: call and event fine between", caller.__class__.__module__, "sessions at", url)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--router", help="URL of a running router instead of our own")
    parser.add_argument("--realm", default="realm1")
    options = parser.parse_args()
    exit_on_sigterm()
    router = Router.at([options.router], options.realm) if options.router else Router.start(default_binary())
    try:
        asyncio.run(asyncio.wait_for(hello(router.urls["websocket"], options.realm), DEADLINE_S))
    finally:
        router.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
