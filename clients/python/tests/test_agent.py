"""Every method of both faces, against a real host. The asyncio face is driven by the same tests: Both runs each for it."""

import asyncio
import contextlib
import inspect
import io
import json
import threading
import time
import unittest
from datetime import datetime, timedelta, timezone

import host

import coma


def setUpModule():
    global HOST
    HOST = host.Host().start()


def tearDownModule():
    HOST.close()


class Driven:
    """An AsyncAgent (or its memory) with an event loop in a thread of its own, used as an Agent is."""

    def __init__(self, target, loop):
        self._target, self._loop = target, loop

    def __getattr__(self, name):
        value = getattr(self._target, name)
        if name == "memory":
            return Driven(value, self._loop)
        if not callable(value):
            return value

        def call(*args, **options):
            async def made():
                answer = value(*args, **options)
                return await answer if inspect.isawaitable(answer) else answer

            return asyncio.run_coroutine_threadsafe(made(), self._loop).result(host.PATIENCE)

        return call


class Case(unittest.TestCase):
    """Makes agents of one face, and ends them."""

    address = property(lambda self: HOST.unix)
    asynchronous = False
    count = 0

    def setUp(self):
        Case.count += 1
        self.name = f"test{Case.count}"
        if self.asynchronous:
            self.loop = asyncio.new_event_loop()
            self.thread = threading.Thread(target=self.loop.run_forever)
            self.thread.start()
            self.addCleanup(self.end_loop)

    def end_loop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def module(self, module, api=None, token=host.TOKEN, agent=None, **options):
        where = (api or self.address, token, agent or self.name, module)
        if self.asynchronous:
            made = coma.connect_async(*where, **options)
            agent = Driven(asyncio.run_coroutine_threadsafe(made, self.loop).result(host.PATIENCE), self.loop)
        else:
            agent = coma.connect(*where, **options)
        self.addCleanup(agent.close)
        return agent


class Sync(Case):
    def test_a_message_has_all_its_fields(self):
        a, b = self.module("a"), self.module("b")
        before = datetime.now(timezone.utc)
        deadline = datetime(2040, 1, 2, 3, 4, 5, 678901, timezone.utc)
        a.send("b", 'he said "héllo" \u65e5\u672c\n', content_type="text/x", headers={"traceparent": "00-1"}, reply_to="a",
               correlation_id="c1", deadline=deadline, id="own-id")
        m = b.receive(timeout=host.PATIENCE)
        self.assertEqual(
            (m.text, m.data, m.id, m.sender, m.to, m.topic, m.content_type, m.headers, m.reply_to, m.correlation_id,
             m.deadline, m.deaths),
            ('he said "héllo" 日本\n', 'he said "héllo" 日本\n'.encode(), "own-id", self.name + "/a", self.name + "/b", "",
             "text/x", {"traceparent": "00-1"}, "a", "c1", deadline, 0))
        self.assertLessEqual(abs(m.time - before), timedelta(seconds=host.PATIENCE))
        self.assertGreaterEqual(m.age, 0)
        self.assertIn("own-id", repr(m))

    def test_text_of_all_kinds_arrives_as_it_was(self):
        a, b = self.module("a"), self.module("b")
        kinds = ["", "x", "\x00\x01\x1f", "\\\"\n\t", "\u2028<>&", "日本" * 1000, b"", b"\xff\xfe", b"plain", bytes(range(256)) * 300,
                 "x" * (coma.MAX_MESSAGE_BYTES), b"\x80" * coma.MAX_MESSAGE_BYTES]
        for kind in kinds:
            a.send("b", kind)
            m = b.receive(timeout=host.PATIENCE)
            if isinstance(kind, bytes):
                self.assertTrue(m.data == kind)
            else:
                self.assertTrue(m.text == kind)
                self.assertTrue(m.data == kind.encode())

    def test_what_is_wrong_is_said(self):
        a = self.module("a")
        for error, call in (
            (coma.TooLarge, lambda: a.send("a", "x" * (coma.MAX_MESSAGE_BYTES + 1))),
            (coma.TooLarge, lambda: a.send("a", "\u00e9" * (coma.MAX_MESSAGE_BYTES // 2 + 1))),
            (coma.TooLarge, lambda: a.publish("t", b"x" * (coma.MAX_MESSAGE_BYTES + 1))),
            (coma.TooLarge, lambda: a.keep("k", "x" * (1 << 20))),
            (coma.Unknown, lambda: a.send("b", "x")),
            (coma.Unknown, lambda: a.send("no-agent/b", "x")),
            (coma.Invalid, lambda: a.send("a", "\ud800")),
            (coma.Invalid, lambda: a.send_json("a", object())),
            (coma.Invalid, lambda: a.send_json("a", float("nan"))),
            (coma.Invalid, lambda: a.subscribe("a/#/b")),
            (coma.Invalid, lambda: a.publish("a/+", "x")),
            (coma.NoInput, lambda: a.input("anybody? ")),
            (coma.NotFound, lambda: a.memory.update([coma.Record("x", id="nowhere")])),
            (coma.Invalid, lambda: a.memory.delete()),
            (coma.Invalid, lambda: a.memory.query_vector([])),
            (coma.Invalid, lambda: a.memory.add("x", {"bad": float("inf")})),
            (coma.Invalid, lambda: a.memory.add("x", time=datetime(2026, 1, 1))),
        ):
            with self.subTest(error=error), self.assertRaises(error) as raised:
                call()
            self.assertIsInstance(raised.exception, coma.Error)
            self.assertTrue(str(raised.exception))
        a.send("a", "still there")
        self.assertEqual(a.receive(timeout=host.PATIENCE).text, "still there")

    def test_a_message_is_finished_with_at_the_next_receive(self):
        a, b = self.module("a"), self.module("b")
        for i in range(3):
            a.send("b", str(i))
        self.assertEqual(b.pending(), 3)
        self.assertEqual(b.receive(timeout=host.PATIENCE).text, "0")
        self.assertEqual(b.pending(), 2)
        b.close("stopped")
        b = self.module("b")
        for i in range(3):
            m = b.try_receive()
            self.assertEqual((m.text, m.deaths), (str(i), 0))
        self.assertIsNone(b.try_receive())
        self.assertEqual(b.pending(), 0)

    def test_a_module_that_died_gets_its_message_again(self):
        a, b = self.module("a"), self.module("b")
        a.send("b", "deadly")
        for deaths in range(3):
            m = b.receive(timeout=host.PATIENCE)
            self.assertEqual((m.text, m.deaths), ("deadly", deaths))
            b.close("died")
            b = self.module("b")

    def test_a_receive_that_gives_up_leaves_the_next_message(self):
        a, b = self.module("a"), self.module("b")
        with self.assertRaises(TimeoutError):
            b.receive(timeout=0.01)
        a.send("b", "1")
        self.assertEqual(b.receive(timeout=host.PATIENCE).text, "1")
        with self.assertRaises(TimeoutError):
            b.receive(timeout=0.01)
        a.send("b", "2")
        b.close("died")
        b = self.module("b")
        m = b.receive(timeout=host.PATIENCE)
        self.assertEqual((m.text, m.deaths), ("2", 0))  # it was never in a hand

    def test_json_goes_there_and_comes_back(self):
        a = self.module("a")
        value = {"list": [1, 2.5, None, True], "text": "日本"}
        a.send_json("a", value)
        m = a.receive(timeout=host.PATIENCE)
        self.assertEqual((m.json(), m.content_type), (value, "application/json"))

    def test_topics(self):
        a = self.module("a")
        a.subscribe("sensors/+/temperature")
        a.publish("sensors/1/humidity", "not for it")
        a.publish("sensors/1/temperature", b"\xff21.5")
        m = a.receive(timeout=host.PATIENCE)
        self.assertEqual((m.topic, m.data), ("sensors/1/temperature", b"\xff21.5"))
        a.publish_retained(f"{self.name}/state", "on")
        a.subscribe(f"{self.name}/#")
        self.assertEqual(a.receive(timeout=host.PATIENCE).text, "on")
        a.unsubscribe("sensors/+/temperature")
        a.publish("sensors/1/temperature", "22")
        a.publish(f"{self.name}/last", "last")
        self.assertEqual(a.receive(timeout=host.PATIENCE).text, "last")

    def test_kept_values_outlive_a_session(self):
        a = self.module("a")
        for value in (1, 2.5, "x", [1, {"a": None}], {}, False, ""):
            a.keep("k", value)
            self.assertEqual(a.kept("k"), value)
        a.keep("k", {"n": 1})
        a.close()
        a = self.module("a")
        self.assertEqual(a.kept("k"), {"n": 1})
        a.keep("k", None)
        self.assertIsNone(a.kept("k"))
        self.assertEqual(a.kept("k", "nothing"), "nothing")

    def test_memory(self):
        a = self.module("a")
        m = a.memory
        early = datetime(2020, 1, 1, 12, 30, 15, 250001, timezone(timedelta(hours=9)))
        first = m.add("The cat sleeps on the sofa.", {"mood": "calm", "n": 1, "weight": 2.0, "good": True}, time=early)
        ids = m.add_records([
            coma.Record("The dog runs in the park.", metadata={"mood": "wild", "n": 2}),
            coma.Record("A stone.", id=f"{self.name}-stone", expires=datetime(2100, 1, 1, tzinfo=timezone.utc)),
        ])
        self.assertEqual(ids[1], f"{self.name}-stone")
        self.assertEqual(m.add_records([coma.Record("Another stone.", id=ids[1])]), [ids[1]])
        self.assertEqual(m.count(), 3)
        oldest = m.get(1, oldest=True, vectors=True)[0]
        self.assertEqual((oldest.text, oldest.id, oldest.time), ("The cat sleeps on the sofa.", first, early))
        self.assertEqual([type(oldest.metadata[k]) for k in ("mood", "n", "weight", "good")], [str, int, float, bool])
        self.assertGreater(len(oldest.vector), 10)
        self.assertEqual([r.text for r in m.get(ids=[ids[1]])], ["A stone."])
        self.assertEqual(m.get(ids=[ids[1]])[0].expires, datetime(2100, 1, 1, tzinfo=timezone.utc))
        self.assertEqual(m.get(ids=[]), [])
        self.assertEqual(m.get(5, until=datetime(2021, 1, 1, tzinfo=timezone.utc))[0].id, first)
        self.assertEqual(len(m.get(since=datetime(2021, 1, 1, tzinfo=timezone.utc))), 2)

        near = m.query("a sleeping cat", 2)
        self.assertEqual((near[0].id, len(near)), (first, 2))
        self.assertLess(near[0].distance, near[1].distance)
        self.assertEqual(m.query_vector(oldest.vector, 1)[0].id, first)
        self.assertEqual(m.query("cat", 5, coma.key("mood").equal("wild"))[0].id, ids[0])

        k = coma.key
        for condition, want in (
            (k("n").equal(1.0), 1), (k("mood").not_equal("calm"), 2), (k("n").greater(1), 1), (k("n").at_least(1), 2),
            (k("n").less(2), 1), (k("n").at_most(2), 2), (k("mood").one_of("calm", "wild"), 2), (k("mood").none_of("calm"), 2),
            (coma.contains("cat"), 1), (coma.not_contains("cat"), 2), (coma.matches("[cd](at|og)"), 2),
            (coma.not_matches("^The"), 1), (coma.all_of(k("n").equal(1), coma.contains("cat")), 1),
            (coma.any_of(k("n").equal(1), k("n").equal(2)), 2),
        ):
            with self.subTest(condition=condition):
                self.assertEqual(m.count(condition), want)
        self.assertEqual(m.count(k("n").at_least(1), coma.contains("dog")), 1)

        now = datetime.now(timezone.utc)
        for retriever in (coma.Latest(), coma.Oldest(), coma.TimeWeighted(1e-9, now=now, space="cosine"),
                          coma.AlphaBeta(1, -1, 0.5, seed=7), coma.MarginalRelevance(half_life=3600, weight=0.7, now=now)):
            with self.subTest(retriever=retriever):
                self.assertEqual(len(m.retrieve(retriever, "cat", 2)), 2)
        self.assertEqual(m.retrieve(coma.Oldest(), k=1)[0].id, first)
        self.assertEqual(m.retrieve_vector(coma.TimeWeighted(0), oldest.vector, 1)[0].id, first)

        m.update([coma.Record(id=first, metadata={"mood": "asleep"})])
        self.assertEqual(m.get(ids=[first])[0].text, "The cat sleeps on the sofa.")
        self.assertEqual(m.count(k("mood").equal("asleep")), 1)
        self.assertEqual(m.delete(ids=[]), 0)
        self.assertEqual(m.delete(coma.contains("dog")), 1)
        self.assertEqual(m.delete(ids=[ids[1]]), 1)
        gone = m.add("soon forgotten", ttl=0.000001)
        self.assertEqual(m.get(ids=[gone]), [])
        self.assertEqual(m.clear(), 1)

    def test_vectors_of_others(self):
        class Array:  # as of numpy
            def tolist(self):
                return [1, 0.5]

        m = self.module("a").memory
        id = m.add("own", vector=Array())
        self.assertEqual(m.get(vectors=True)[0].vector, [1.0, 0.5])
        self.assertEqual(m.query_vector(Array())[0].id, id)

    def test_ten_thousand_messages_each_way_in_order(self):
        a, b = self.module("a"), self.module("b")
        n = 10_000
        threads = [threading.Thread(target=lambda x=x, to=to: [x.send(to, str(i)) for i in range(n)])
                   for x, to in ((a, "b"), (b, "a"))]
        if self.asynchronous:
            async def flood(x, to):
                for i in range(n):
                    await x.send(to, str(i))

            for x, to in ((a, "b"), (b, "a")):
                asyncio.run_coroutine_threadsafe(flood(x._target, to), self.loop)
        else:
            for t in threads:
                t.start()
        for x in a, b:
            if self.asynchronous:
                async def drain(x):
                    return [(await x.receive()).text for _ in range(n)]

                texts = asyncio.run_coroutine_threadsafe(drain(x._target), self.loop).result(4 * host.PATIENCE)
            else:
                texts = [x.receive(timeout=host.PATIENCE).text for _ in range(n)]
            self.assertEqual(texts, [str(i) for i in range(n)])
        if not self.asynchronous:
            for t in threads:
                t.join()

    def test_a_newer_session_of_the_module_replaces_this_one(self):
        old = self.module("a")
        self.module("a")
        with self.assertRaises(coma.Replaced):
            old.receive(timeout=host.PATIENCE)

    def test_a_closed_session_says_so(self):
        a = self.module("a")
        a.close()
        a.close()
        for call in (a.receive, a.try_receive, a.pending, lambda: a.send("a", "x"), a.memory.count):
            with self.assertRaises(coma.Closed):
                call()

    def test_a_wrong_token(self):
        with self.assertRaisesRegex(coma.Unauthorized, "token"):
            self.module("a", HOST.http, "wrong")

    def test_no_host(self):
        for api in (f"http://127.0.0.1:{host.free_port()}", f"unix://{HOST.dir}/nobody.sock"):
            with self.assertRaisesRegex(coma.Away, "is coma running"):
                self.module("a", api)

    def test_wrong_names(self):
        for api, module in (("ftp://x", "a"), ("http://", "a"), ("http://x:port", "a"), ("http://me:secret@x", "a"), (self.address, "../a")):
            with self.subTest(api=api), self.assertRaises(coma.Invalid):
                self.module(module, api)


class Async(Sync):
    asynchronous = True

    def test_a_cancelled_call_leaves_nothing_behind(self):
        a = self.module("a")

        async def cancelled():
            agent = a._target
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(agent.receive(), 0.01)
            tasks = [asyncio.ensure_future(agent.memory.count()) for _ in range(50)]
            await asyncio.sleep(0)
            for t in tasks[:25]:
                t.cancel()
            return await asyncio.gather(*tasks, return_exceptions=True)

        answers = asyncio.run_coroutine_threadsafe(cancelled(), self.loop).result(host.PATIENCE)
        self.assertTrue(all(isinstance(x, asyncio.CancelledError) for x in answers[:25]))
        self.assertEqual(answers[25:], [0] * 25)
        self.assertEqual(a._wire.core._calls, {})

    def test_thousands_of_sends_at_once(self):
        a = self.module("a")

        async def flood():
            agent = a._target
            sends = asyncio.gather(*(agent.send("a", str(i)) for i in range(2000)))
            got = [(await agent.receive()).text for _ in range(2000)]
            await sends
            return got

        got = asyncio.run_coroutine_threadsafe(flood(), self.loop).result(host.PATIENCE)
        self.assertEqual(sorted(map(int, got)), list(range(2000)))


class OverTCP(Case):
    """What another kind of socket may make a difference to."""

    address = property(lambda self: HOST.http)
    test_a_message_has_all_its_fields = Sync.test_a_message_has_all_its_fields
    test_text_of_all_kinds_arrives_as_it_was = Sync.test_text_of_all_kinds_arrives_as_it_was
    test_a_module_that_died_gets_its_message_again = Sync.test_a_module_that_died_gets_its_message_again


class Threads(Case):
    def test_an_agent_is_safe_for_many_threads(self):
        a, b = self.module("a"), self.module("b")
        n, each = 20, 100
        got = []

        def answer():
            for m in b:
                if m.text == "end":
                    return
                b.send("a", m.text)

        def ask(i):
            for j in range(each):
                a.send("b", f"{i} {j}")
                a.memory.count()

        def collect():
            for _ in range(n * each):
                got.append(a.receive(timeout=host.PATIENCE).text)

        threads = [threading.Thread(target=ask, args=(i,)) for i in range(n)]
        ends = [threading.Thread(target=answer), threading.Thread(target=collect)]
        for t in threads + ends:
            t.start()
        for t in threads:
            t.join()
        ends[1].join()
        a.send("b", "end")
        ends[0].join()
        for i in range(n):  # those of one thread in order
            self.assertEqual([t for t in got if t.startswith(f"{i} ")], [f"{i} {j}" for j in range(each)])

    def test_a_log_line_from_the_middle_of_a_call_goes_to_standard_error(self):
        a = self.module("a")
        errors = io.StringIO()
        # As a destructor does that Python calls, or a signal's handler: the lock is this thread's own.
        with contextlib.redirect_stderr(errors), a._wire.lock:
            a.log("said in between", n=1)
        self.assertEqual(errors.getvalue(), "said in between n=1\n")
        a.send("a", "and all goes on")
        self.assertEqual(a.receive(timeout=host.PATIENCE).text, "and all goes on")

    def test_closing_ends_what_waits(self):
        a = self.module("a")
        errors = []

        def wait():
            try:
                a.receive()
            except coma.Closed as e:
                errors.append(e)

        threads = [threading.Thread(target=wait) for _ in range(3)]
        for t in threads:
            t.start()
        host.until(lambda: a._wire._reading, "one of them reads")
        a.close()
        for t in threads:
            t.join()
        self.assertEqual(len(errors), 3)

    def test_the_wire_reads_while_nobody_does(self):
        old = self.module("a")
        self.module("a")  # which the host tells the old one at once
        host.until(lambda: old._wire.core._ended, "the old session hears that it is replaced")


if __name__ == "__main__":
    unittest.main()
