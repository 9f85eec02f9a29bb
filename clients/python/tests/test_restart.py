"""A host that goes and comes back: nothing is lost and nothing comes twice."""

import asyncio
import threading
import unittest

import host

import coma


class Restarts(unittest.TestCase):
    def setUp(self):
        self.host = host.Host().start()
        self.addCleanup(self.host.close)

    def connect(self, module, api=None):
        agent = coma.connect(api or self.host.unix, host.TOKEN, "restarts", module)
        self.addCleanup(agent.close)
        return agent

    def restart(self):
        self.host.stop()
        self.host.start()

    def test_messages_flow_through_restarts(self):
        for api in (self.host.unix, self.host.http):
            with self.subTest(api=api):
                source, sink = self.connect("source", api), self.connect("sink", api)
                n, got, errors = 4000, [], []
                quarter = threading.Semaphore(0)

                def send():
                    try:
                        for i in range(n):
                            source.send("sink", str(i))
                    except BaseException as e:
                        errors.append(e)

                def receive():
                    try:
                        for i in range(n):
                            got.append(sink.receive(timeout=host.PATIENCE).text)
                            if i % (n // 4) == n // 8:
                                quarter.release()
                    except BaseException as e:
                        errors.append(e)

                threads = [threading.Thread(target=send), threading.Thread(target=receive)]
                for t in threads:
                    t.start()
                for _ in range(3):
                    self.assertTrue(quarter.acquire(timeout=host.PATIENCE))
                    self.restart()
                for t in threads:
                    t.join()
                self.assertEqual(errors, [])
                self.assertEqual(got, [str(i) for i in range(n)])
                self.assertIsNone(sink.try_receive())
                source.close()
                sink.close()

    def test_messages_flow_through_restarts_with_asyncio(self):
        async def flow():
            n, got = 4000, []
            loop = asyncio.get_running_loop()
            connect = lambda name: coma.connect_async(self.host.unix, host.TOKEN, "restarts", name)
            async with await connect("source") as source, await connect("sink") as sink:

                async def send():
                    for i in range(n):
                        await source.send("sink", str(i))

                sending = asyncio.ensure_future(send())
                restarts = []
                for i in range(n):
                    got.append((await sink.receive(timeout=host.PATIENCE)).text)
                    if i % (n // 4) == n // 8 and len(restarts) < 3:
                        restarts.append(loop.run_in_executor(None, self.restart))
                        await restarts[-1]  # what is under way in the loop goes on
                await sending
                self.assertIsNone(await sink.try_receive())
            self.assertEqual(got, [str(i) for i in range(n)])

        asyncio.run(flow())

    def test_what_is_in_hand_stays_in_hand(self):
        a, b = self.connect("a"), self.connect("b")
        for i in range(3):
            a.send("b", str(i))
        self.assertEqual(b.receive(timeout=host.PATIENCE).text, "0")
        self.restart()
        self.assertEqual(b.pending(), 2)
        self.assertEqual([b.receive(timeout=host.PATIENCE).text for _ in range(2)], ["1", "2"])
        self.assertIsNone(b.try_receive())

    def test_a_receive_that_waits_goes_on_waiting(self):
        a, b = self.connect("a"), self.connect("b")
        got = []
        waiting = threading.Thread(target=lambda: got.append(b.receive(timeout=host.PATIENCE).text))
        waiting.start()
        host.until(lambda: b._wire.core._waits, "it waits")
        self.restart()
        a.send("b", "after")
        waiting.join()
        self.assertEqual(got, ["after"])

    def test_subscriptions_come_back_while_the_module_is_busy(self):
        a, b = self.connect("a"), self.connect("b")
        b.subscribe("x/+")
        before = b._wire._socket
        self.restart()
        # b does nothing: the wire's own thread connects again
        host.until(lambda: b._wire._socket is not before and b._wire.core.state == "up", "it is connected again")
        a.publish("x/1", "heard")
        self.assertEqual(b.receive(timeout=host.PATIENCE).text, "heard")

    def test_a_call_waits_for_a_host_that_is_away_as_long_as_it_is_told(self):
        a = self.connect("a")
        id = a.memory.add("remembered")
        self.host.stop()
        a.timeout = 0.05
        with self.assertRaises(TimeoutError):
            a.memory.count()
        a.timeout = host.PATIENCE
        with self.assertRaises(TimeoutError):
            a.receive(timeout=0.05)
        a.log("said while the host is away")
        self.host.start()
        self.assertEqual([r.id for r in a.memory.get()], [id])

    def test_memory_is_written_once(self):
        a = self.connect("a")
        n = 100
        half = threading.Semaphore(0)

        def write():
            for i in range(n):
                a.memory.add(str(i), {"i": i}, vector=[1.0, i])
                if i == n // 2:
                    half.release()

        writing = threading.Thread(target=write)
        writing.start()
        half.acquire()
        self.host.kill()
        self.host.start()
        writing.join()
        self.assertEqual(sorted(r.metadata["i"] for r in a.memory.get()), list(range(n)))

    def test_a_module_that_ends_does_not_wait_for_a_host_that_is_away(self):
        a = self.connect("a")
        self.host.stop()
        a.close()
        with self.assertRaises(coma.Closed):
            a.pending()


if __name__ == "__main__":
    unittest.main()
