"""Answers each message, through the face that FACE names, until it is told to be done."""
import os

import coma


def threads(agent):
    for message in agent:
        if message.text == "done":
            return
        agent.send("ping", message.text)


async def tasks(agent):
    async for message in agent:
        if message.text == "done":
            return
        await agent.send("ping", message.text)


coma.run(tasks if os.environ["FACE"] == "asyncio" else threads)
