"""Counts what arrives, and how fast, from the first message on."""
import os
import time

import coma

TOTAL = int(os.environ["MESSAGES"]) // int(os.environ["SENDERS"]) * int(os.environ["SENDERS"])


def threads(agent):
    agent.receive()
    start = time.perf_counter()
    for _ in range(TOTAL - 1):
        agent.receive()
    agent.log("result", per_second=(TOTAL - 1) / (time.perf_counter() - start))


async def tasks(agent):
    await agent.receive()
    start = time.perf_counter()
    for _ in range(TOTAL - 1):
        await agent.receive()
    agent.log("result", per_second=(TOTAL - 1) / (time.perf_counter() - start))


coma.run(tasks if os.environ["FACE"] == "asyncio" else threads)
