"""Sends as fast as it can, from as many threads or tasks as SENDERS says, through the face that FACE names."""
import asyncio
import os
import threading

import coma

SENDERS, MESSAGES = int(os.environ["SENDERS"]), int(os.environ["MESSAGES"])
TEXT = "x" * 100


def threads(agent):
    def send():
        for _ in range(MESSAGES // SENDERS):
            agent.send("sink", TEXT)

    senders = [threading.Thread(target=send) for _ in range(SENDERS)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()


async def tasks(agent):
    async def send():
        for _ in range(MESSAGES // SENDERS):
            await agent.send("sink", TEXT)

    await asyncio.gather(*(send() for _ in range(SENDERS)))


coma.run(tasks if os.environ["FACE"] == "asyncio" else threads)
