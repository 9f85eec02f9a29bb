"""Measures the way there and back, in some thousand turns after as many for warming up, through the face that FACE names."""
import os
import time

import coma

TURNS = 3000


def result(times):
    times = sorted(times[TURNS:])
    return {"p50_us": times[TURNS // 2] * 1e6, "p99_us": times[TURNS * 99 // 100] * 1e6}


def threads(agent):
    times = []
    for _ in range(2 * TURNS):
        start = time.perf_counter()
        agent.send("pong", "ping")
        agent.receive()
        times.append(time.perf_counter() - start)
    agent.log("result", **result(times))
    agent.send("pong", "done")


async def tasks(agent):
    times = []
    for _ in range(2 * TURNS):
        start = time.perf_counter()
        await agent.send("pong", "ping")
        await agent.receive()
        times.append(time.perf_counter() - start)
    agent.log("result", **result(times))
    await agent.send("pong", "done")


coma.run(tasks if os.environ["FACE"] == "asyncio" else threads)
