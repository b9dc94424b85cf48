"""Drives `bondy testkit`: one JSON object a line, there and back. Copy it into your own tests."""

import asyncio
import itertools
import json
import os


class Failed(AssertionError):
    """The testkit did not do, or did not see, what it was asked for."""


class Testkit:
    """`async with Testkit() as kit: router = await kit("start")`"""

    async def __aenter__(self):
        command = os.environ.get("BONDY_TESTKIT", "bondy testkit").split()
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, limit=2**27)
        self.ids = itertools.count(1)
        self.waiting = {}
        self.reader = asyncio.ensure_future(self.read())
        return self

    async def __aexit__(self, *_):
        self.process.stdin.close()
        await self.process.wait()
        self.reader.cancel()

    async def read(self):
        while line := await self.process.stdout.readline():
            answer = json.loads(line)
            self.waiting.pop(answer["id"]).set_result(answer)
        for future in self.waiting.values():
            future.set_exception(Failed("bondy testkit has ended"))

    async def __call__(self, do, **fields):
        number = next(self.ids)
        self.waiting[number] = asyncio.get_running_loop().create_future()
        self.process.stdin.write((json.dumps({"id": number, "do": do, **fields}) + "\n").encode())
        answer = await self.waiting[number]
        if "error" in answer:
            raise Failed(f"{do}: {answer['error']}")
        return answer["ok"]
