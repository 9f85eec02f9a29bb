"""Modules of a project that "coma run" starts: nothing is installed, all is known from the environment."""

import os
import pathlib
import signal
import subprocess
import tempfile
import textwrap
import threading
import unittest

import host

ECHO = """
    import coma

    with coma.connect() as agent:
        for message in agent:
            agent.send(message.sender, message.text)
"""


class Project:
    """A project that runs, and what it writes."""

    def __init__(self, files, *flags):
        self._dir = tempfile.TemporaryDirectory(prefix="coma-py-")
        self.dir = pathlib.Path(self._dir.name)
        self.project = self.dir / "agent"
        for name in ("data", "state", "run", "agent"):
            (self.dir / name).mkdir(mode=0o700)
        for name, text in files.items():
            self.write(name, text)
        env = {k: v for k, v in os.environ.items() if not k.startswith("COMA_") and k != "PYTHONPATH"}
        env.update(XDG_DATA_HOME=f"{self.dir}/data", XDG_STATE_HOME=f"{self.dir}/state", XDG_RUNTIME_DIR=f"{self.dir}/run",
                   XDG_CACHE_HOME=f"{self.dir}/cache")
        self.env = env
        self.process = subprocess.Popen(
            [host.binary(), "run", *flags, str(self.project)], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True)
        self.lines = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def write(self, name, text):
        path = self.project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))

    def _read(self):
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self.lines.append("(end)")
            self._changed.notify_all()

    def wait(self, part, count=1):
        """Waits for count lines with part in them, and returns the last of these."""
        with self._changed:
            found = lambda: [line for line in self.lines if part in line]
            if not self._changed.wait_for(lambda: len(found()) >= count or self.lines[-1:] == ["(end)"], host.PATIENCE):
                raise AssertionError(f"no {part!r} in time:\n" + "\n".join(self.lines))
            if len(found()) < count:
                raise AssertionError(f"it ended without {part!r}:\n" + "\n".join(self.lines))
            return found()[count - 1]

    def send(self, module, text):
        subprocess.run([host.binary(), "send", f"agent/{module}", text], env=self.env, check=True, capture_output=True,
                       timeout=host.PATIENCE)

    def close(self):
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(host.PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()
            self._reader.join()
            self.process.stdout.close()
            self._dir.cleanup()


class Modules(unittest.TestCase):
    def run_project(self, files, *flags):
        project = Project(files, *flags)
        self.addCleanup(project.close)
        return project

    def test_modules_of_both_faces_talk(self):
        p = self.run_project({
            "echo.py": ECHO,
            "threads.py": """
                import coma

                def main(agent):
                    for i in range(200):
                        agent.send("echo", str(i))
                        assert agent.receive(timeout=60).text == str(i)
                    agent.log("threads are through", level="WARN", generation=agent.generation)

                coma.run(main)
            """,
            "tasks/main.py": """
                import coma, logging

                async def main(agent):
                    for i in range(200):
                        await agent.send("echo", str(i))
                        assert (await agent.receive(timeout=60)).text == str(i)
                    logging.getLogger().addHandler(coma.LogHandler(agent))
                    logging.warning("tasks are %s", "through", extra={"generation": agent.generation})
                    agent.print("printed\\n")

                coma.run(main)
            """,
        })
        p.wait("threads are through generation=1")
        p.wait("tasks are through generation=1")
        p.wait("printed")

    def test_a_module_that_dies_gets_its_message_again(self):
        for how, code in (
            ("kill -9", "os.kill(os.getpid(), signal.SIGKILL)"),
            ("exception", "1 / 0"),
            ("exit code", "sys.exit(3)"),
            ("exit at once", "os._exit(4)"),
        ):
            with self.subTest(how):
                p = self.run_project({"victim.py": f"""
                    import os, signal, sys
                    import coma

                    agent = coma.connect()
                    for message in agent:
                        print("handles", message.text, message.deaths, flush=True)
                        if message.text == "deadly" and message.deaths == 0:
                            {code}
                    """})
                p.wait("started")
                p.send("victim", "deadly")
                p.wait("handles deadly 0")
                p.wait("handles deadly 1")
                p.send("victim", "harmless")
                p.wait("handles harmless 0")
                self.assertEqual(len([line for line in p.lines if "handles" in line]), 3)
                p.close()
                self._cleanups.pop()

    def test_a_clean_end_is_done_with_its_message(self):
        for how, code in (("return", "break"), ("exit", "sys.exit()")):
            with self.subTest(how):
                p = self.run_project({"once.py": f"""
                    import sys
                    import coma

                    agent = coma.connect()
                    for message in agent:
                        print("handles", message.text, message.deaths, flush=True)
                        if message.text == "last":
                            {code}
                    """})
                p.wait("started")
                p.send("once", "last")
                p.wait("handles last 0")
                p.wait("│ done")
                p.send("once", "next")
                edited = p.project / "once.py"
                edited.write_text(edited.read_text() + "# edited\n")
                p.wait("handles next 0")
                self.assertEqual(len([line for line in p.lines if "handles last" in line]), 1)
                p.close()
                self._cleanups.pop()

    def test_reloads_lose_nothing_and_repeat_nothing(self):
        sink = """
            import coma

            coma._LAST_WAIT = 60  # a busy host may take longer than the second that a call still has
            first = True
            with coma.connect() as agent:
                for message in agent:
                    if first:
                        print("generation", agent.generation, "is in its loop", flush=True)
                        first = False
                    agent.send("source", message.text)
                print("generation", agent.generation, "ends its loop", flush=True)
        """
        p = self.run_project({
            "coma.yaml": "grace: 60s",
            "sink.py": sink,
            "source.py": """
                import threading
                import coma

                def main(agent):
                    sent, enough = [], threading.Event()

                    def send():
                        while not enough.is_set():
                            sent.append(str(len(sent)))
                            agent.send("sink", sent[-1])
                        agent.send("sink", "the last one")

                    sending = threading.Thread(target=send)
                    sending.start()
                    got = []
                    for message in agent:
                        if message.text == "the last one":
                            break
                        if message.text == "enough":
                            enough.set()
                        else:
                            got.append(message.text)
                    sending.join()
                    print("all in order:", got == sent, agent.pending(), flush=True)

                coma.run(main)
            """,
        })
        for generation in 1, 2:
            p.wait(f"generation {generation} is in its loop")
            p.write("sink.py", textwrap.dedent(sink) + f"# edit {generation}\n")
            p.wait(f"generation {generation} ends its loop")
        p.wait("generation 3 is in its loop")
        p.send("source", "enough")
        p.wait("all in order: True 0")

    def test_a_module_that_waits_for_something_else_is_stopped_too(self):
        for name, code in (
            ("a sleep", """
                import time
                import coma

                with coma.connect() as agent:
                    try:
                        print("waits", agent.generation, flush=True)
                        time.sleep(1000)
                    except coma.Stopped:
                        print("is stopped", agent.generation, flush=True)
                        raise
             """),
            ("a sleep of asyncio", """
                import asyncio
                import coma

                async def main(agent):
                    try:
                        print("waits", agent.generation, flush=True)
                        await asyncio.sleep(1000)
                    except asyncio.CancelledError:
                        print("is stopped", agent.generation, flush=True)
                        raise

                coma.run(main)
             """),
            ("receive of asyncio", """
                import coma

                async def main(agent):
                    print("waits", agent.generation, flush=True)
                    try:
                        await agent.receive()
                    except coma.Stopped:
                        print("is stopped", agent.generation, flush=True)
                        raise

                coma.run(main)
             """),
            ("receive of asyncio, where the signal does not interrupt it", """
                import signal
                import threading
                import coma

                threading.Thread(target=threading.Event().wait, daemon=True).start()
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

                async def main(agent):
                    print("waits", agent.generation, flush=True)
                    try:
                        await agent.receive()
                    except coma.Stopped:
                        print("is stopped", agent.generation, flush=True)
                        raise

                coma.run(main)
             """),
            ("one of several tasks", """
                import asyncio
                import coma

                async def main(agent):
                    async def listen():
                        async for message in agent:
                            pass

                    print("waits", agent.generation, flush=True)
                    try:
                        await asyncio.gather(listen(), asyncio.sleep(1000))
                    except asyncio.CancelledError:
                        print("is stopped", agent.generation, flush=True)
                        raise

                coma.run(main)
             """),
            ("receive of asyncio, in time", """
                import coma

                async def main(agent):
                    print("waits", agent.generation, flush=True)
                    try:
                        await agent.receive(timeout=1000)
                    except coma.Stopped:
                        print("is stopped", agent.generation, flush=True)
                        raise

                coma.run(main)
             """),
            ("a thread's receive", """
                import threading
                import time
                import coma

                def listen():
                    try:
                        agent.receive()
                    except coma.Stopped:
                        print("is stopped", agent.generation, flush=True)
                        raise

                agent = coma.connect()
                listening = threading.Thread(target=listen)
                listening.start()
                print("waits", agent.generation, flush=True)
                while True:
                    time.sleep(0.01)  # and not join: Python does not wait at its end for a thread whose join was interrupted
             """),
            ("receive, where the signal does not interrupt it", """
                import signal
                import threading
                import coma

                # The system gives SIGTERM to a thread that lets it, as it may at any time; the main one just waits.
                threading.Thread(target=threading.Event().wait, daemon=True).start()
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

                with coma.connect() as agent:
                    print("waits", agent.generation, flush=True)
                    try:
                        agent.receive()
                    except coma.Stopped:
                        print("is stopped", agent.generation, flush=True)
                        raise
             """),
            ("a person", """
                import coma

                with coma.connect() as agent:
                    agent.send(agent.module, "x")
                    agent.receive()  # a message is in hand
                    print("waits", agent.generation, flush=True)
                    try:
                        agent.receive()
                    except coma.Stopped:
                        print("is stopped", agent.generation, flush=True)
                        raise
             """),
        ):
            with self.subTest(name):
                p = self.run_project({"waiter.py": code})
                for generation in 1, 2:
                    p.wait(f"waits {generation}")
                    p.write("waiter.py", textwrap.dedent(code) + f"\n# edit {generation}\n")
                    p.wait(f"is stopped {generation}")
                p.wait("waits 3")
                self.assertEqual([line for line in p.lines if "Traceback" in line or "kill" in line or "died" in line], [])
                p.close()
                self._cleanups.pop()

    def test_a_call_that_cannot_be_answered_ends_soon_after_the_module_is_asked_to_stop(self):
        """A memory that is away, and a mailbox that is full: nobody waits for a kill."""
        threads = """
            import coma

            with coma.connect() as agent:
                if not agent.pending():  # else it has come back
                    agent.send(agent.module, "in hand")
                agent.receive(){unhand}
                print("waits", agent.generation, flush=True)
                try:
                    {call}
                except coma.Stopped:
                    print("is stopped", agent.generation, flush=True)
                    raise
        """
        tasks = """
            import coma

            async def main(agent):
                if not await agent.pending():
                    await agent.send(agent.module, "in hand")
                await agent.receive()
                print("waits", agent.generation, flush=True)
                try:
                    await {call}
                except coma.Stopped:
                    print("is stopped", agent.generation, flush=True)
                    raise

            coma.run(main)
        """
        another = """
            import threading
            import time
            import coma

            def work():
                try:
                    {call}
                except coma.Stopped:
                    print("is stopped", agent.generation, flush=True)
                    raise

            with coma.connect() as agent:
                if not agent.pending():  # else it has come back
                    agent.send(agent.module, "in hand")
                agent.receive(){unhand}
                working = threading.Thread(target=work)
                working.start()
                print("waits", agent.generation, flush=True)
                working.join()
        """
        another_task = """
            import asyncio
            import coma

            async def main(agent):
                async def work():
                    try:
                        await {call}
                    except coma.Stopped:
                        print("is stopped", agent.generation, flush=True)
                        raise

                if not await agent.pending():
                    await agent.send(agent.module, "in hand")
                await agent.receive()
                print("waits", agent.generation, flush=True)
                await asyncio.gather(work(), asyncio.sleep(1000))

            coma.run(main)
        """
        tell, drop = 'agent.send("full", "one too many")', "; agent.try_receive()"
        modules = {f"{name}.py": textwrap.dedent(code).format(call=call, unhand=unhand) for name, code, call, unhand in (
            ("memory", threads, "agent.memory.count()", ""),
            ("memory-of-a-thread", another, "agent.memory.add('x')", ""),
            ("memory-of-asyncio", tasks, "agent.memory.query('x')", ""),
            ("memory-of-a-task", another_task, "agent.memory.count()", ""),
            ("mailbox", threads, tell, ""),
            ("mailbox-nothing-in-hand", threads, tell, drop),
            ("mailbox-of-a-thread", another, tell, ""),
            ("mailbox-of-asyncio", tasks, tell, ""),
        )}
        p = self.run_project({
            "coma.yaml": f"""
                memory: {{at: "http://127.0.0.1:{host.free_port()}"}}
                mailbox: {{limit: 1}}
                grace: 60s
            """,
            "full.py": """
                import coma, time
                with coma.connect() as agent:
                    agent.send("full", "the one that fits")
                    print("is full", flush=True)
                    time.sleep(1000)
            """,
        })
        p.wait("is full")
        for name, code in modules.items():
            p.write(name, code)
        p.wait("waits 1", len(modules))
        for name, code in modules.items():
            p.write(name, code + "# edited\n")
        p.wait("is stopped 1", len(modules))
        p.wait("waits 2", len(modules))
        self.assertEqual([line for line in p.lines if "Traceback" in line or "kill" in line or "died" in line], [])

    def test_a_message_that_the_stop_cuts_short_comes_again_however_the_module_ends(self):
        modules = {
            "nobody-closes.py": """
                import coma

                agent = coma.connect()
                for message in agent:
                    print("got", message.text, agent.generation, message.deaths, flush=True)
                    agent.send("full", "one too many")
            """,
            "nobody-closes-asyncio.py": """
                import asyncio
                import coma

                async def main():
                    agent = await coma.connect_async()
                    async for message in agent:
                        print("got", message.text, agent.generation, message.deaths, flush=True)
                        await agent.send("full", "one too many")

                asyncio.run(main())
            """,
            "closes-plainly.py": """
                import coma

                agent = coma.connect()
                try:
                    for message in agent:
                        print("got", message.text, agent.generation, message.deaths, flush=True)
                        agent.send("full", "one too many")
                finally:
                    agent.close()
            """,
            "goes-on.py": """
                import coma

                with coma.connect() as agent:
                    for message in agent:
                        print("got", message.text, agent.generation, message.deaths, flush=True)
                        try:
                            agent.send("full", "one too many")
                        except coma.Stopped:
                            pass
            """,
            "goes-on-asyncio.py": """
                import coma

                async def main(agent):
                    async for message in agent:
                        print("got", message.text, agent.generation, message.deaths, flush=True)
                        try:
                            await agent.send("full", "one too many")
                        except coma.Stopped:
                            pass

                coma.run(main)
            """,
            "ends-by-itself.py": """
                import coma

                agent = coma.connect()
                message = agent.receive()
                print("got", message.text, agent.generation, message.deaths, flush=True)
                try:
                    agent.send("full", "one too many")
                except coma.Stopped:
                    pass
            """,
        }
        modules = {name: textwrap.dedent(code) for name, code in modules.items()}
        p = self.run_project({
            "coma.yaml": """
                mailbox: {limit: 1}
                grace: 60s
            """,
            "full.py": """
                import coma, time
                with coma.connect() as agent:
                    agent.send("full", "the one that fits")
                    print("is full", flush=True)
                    time.sleep(1000)
            """,
            **modules,
        })
        p.wait("started", 1 + len(modules))
        p.wait("is full")
        for name in modules:
            p.send(name[:-3], name)
        for name in modules:
            p.wait(f"got {name} 1 0")
        for name, code in modules.items():
            p.write(name, code + "# edited\n")
        for name in modules:
            p.wait(f"got {name} 2 0")
        self.assertEqual([line for line in p.lines if "Traceback" in line or "kill" in line or "died" in line], [])


if __name__ == "__main__":
    unittest.main()
