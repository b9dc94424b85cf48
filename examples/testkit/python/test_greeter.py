import asyncio
import unittest

from bondy_testkit import Testkit
from greeter import greeter

REGISTERED = "to_client.by_type.REGISTERED"


class GreeterTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.kit = await self.enterAsyncContext(Testkit())
        self.router = await self.kit("start")
        # The application reaches the router through a link, on which things can go wrong.
        self.link = await self.kit("link")
        self.greeter = greeter(self.link["url"])
        self.running = self.greeter.start(loop=asyncio.get_running_loop())
        self.addAsyncCleanup(self.end_greeter)
        await self.kit("wait", until={REGISTERED: 1})
        # A peer says in raw WAMP what the test wants to be said.
        await self.kit("peer", url=self.router["url"])
        await self.kit("join")

    async def end_greeter(self):
        await self.kit("clear")
        await self.greeter.stop()
        await self.running

    async def test_it_greets(self):
        await self.kit("send", message='CALL 1 {} com.example.greet ["world"]')
        await self.kit("expect", message='RESULT 1 {} ["Hello, world!"]')

    async def test_it_is_back_after_its_connection_was_cut(self):
        await self.kit("cut", ending="reset")
        await self.kit("wait", until={REGISTERED: 2})
        await self.kit("send", message='CALL 1 {} com.example.greet ["world"]')
        await self.kit("expect", message='RESULT 1 {} ["Hello, world!"]')

    async def test_a_caller_is_told_when_it_fell_silent(self):
        await self.kit("fault", action="freeze", on="INVOCATION", direction="to_client")
        await self.kit("send", message='CALL 1 {"timeout": 100} com.example.greet ["world"]')
        await self.kit("expect", message="ERROR CALL 1 {} wamp.error.timeout ...")


if __name__ == "__main__":
    unittest.main()
