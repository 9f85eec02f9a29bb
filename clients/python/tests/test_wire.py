"""The WebSocket and what a host that misbehaves can do: nothing but be left."""

import asyncio
import base64
import hashlib
import json
import os
import random
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest

import host

import coma


def server_frame(payload, opcode=1, final=True, masked=False, rsv=0, length=None):
    n = len(payload)
    head = bytes([(0x80 if final else 0) | rsv << 4 | opcode])
    bit = 0x80 if masked else 0
    if length is not None:
        head += bytes([bit | 127]) + length.to_bytes(8, "big")
    elif n < 126:
        head += bytes([bit | n])
    elif n < 65536:
        head += bytes([bit | 126]) + n.to_bytes(2, "big")
    else:
        head += bytes([bit | 127]) + n.to_bytes(8, "big")
    return head + payload


class Frames(unittest.TestCase):
    def test_masking_is_its_own_inverse(self):
        for n in (0, 1, 2, 3, 4, 5, 125, 126, 65535, 65536):
            payload, key = os.urandom(n), os.urandom(4)
            masked = coma._mask(payload, key)
            self.assertEqual(bytes(b ^ key[i % 4] for i, b in enumerate(payload)), masked)
            self.assertEqual(coma._mask(masked, key), payload)

    def test_lengths_are_written_in_the_least_room(self):
        for n, head in ((0, 6), (125, 6), (126, 8), (65535, 8), (65536, 14)):
            frame = coma._frame(1, b"x" * n)
            self.assertEqual(len(frame), head + n)
            self.assertEqual(frame[1] & 0x80, 0x80)

    def test_messages_come_out_however_the_bytes_come_in(self):
        rng = random.Random(1)
        for _ in range(200):
            want, data = [], b""
            for _ in range(rng.randrange(1, 6)):
                payload = bytes(rng.randrange(256) for _ in range(rng.choice((0, 1, 125, 126, 300))))
                parts = sorted(rng.randrange(len(payload) + 1) for _ in range(rng.randrange(3)))
                cuts = [0, *parts, len(payload)]
                for i in range(len(cuts) - 1):
                    last = i == len(cuts) - 2
                    data += server_frame(payload[cuts[i] : cuts[i + 1]], opcode=1 if i == 0 else 0, final=last)
                    if rng.random() < 0.3 and not last:
                        data += server_frame(b"ping", 9)
                        want.append((9, b"ping"))
                want.append((1, payload))
            frames, got, at = coma._Frames(), [], 0
            while at < len(data):
                n = rng.choice((1, 2, 7, 100, 1000))
                got += frames.feed(data[at : at + n])
                at += n
            self.assertEqual(got, want)

    def test_what_is_no_frame_is_refused(self):
        for name, data, code in (
            ("reserved bits", server_frame(b"x", rsv=4), 1002),
            ("masked", server_frame(b"x", masked=True), 1002),
            ("a kind of tomorrow", server_frame(b"x", opcode=3), 1002),
            ("a long ping", server_frame(b"x" * 126, opcode=9), 1002),
            ("a ping in pieces", server_frame(b"x", opcode=9, final=False), 1002),
            ("binary", server_frame(b"x", opcode=2), 1003),
            ("a piece of nothing", server_frame(b"x", opcode=0), 1002),
            ("two beginnings", server_frame(b"x", final=False) + server_frame(b"y"), 1002),
            ("too much", server_frame(b"", length=1001), 1009),
            ("too much in pieces", server_frame(b"x" * 600, final=False) + server_frame(b"x" * 600, opcode=0), 1009),
            ("endless", server_frame(b"", length=1 << 63), 1009),
        ):
            with self.subTest(name), self.assertRaises(coma._Broken) as raised:
                coma._Frames(limit=1000).feed(data)
            self.assertEqual(raised.exception.code, code)

    def test_noise_is_refused_or_waited_for(self):
        rng = random.Random(2)
        for _ in range(5000):
            frames = coma._Frames(limit=4096)
            try:
                for _ in range(3):
                    frames.feed(bytes(rng.randrange(256) for _ in range(rng.randrange(1, 40))))
            except coma._Broken as e:
                self.assertIn(e.code, (1002, 1003, 1009))


class Core(unittest.TestCase):
    def core(self):
        core = coma._Core("a", "m", 1)
        core.attached()
        core.take_in(json.dumps({"jsonrpc": "2.0", "id": 1, "result": {}}).encode())
        return core

    def test_no_answer_and_no_message_does_more_than_end_the_session(self):
        rng = random.Random(5)
        odd = [None, True, 0, -1, 1 << 70, 1.5, float("1e308"), "", "x", "é", [], [1], {}, {"a": 1}, {"seq": 1}, {"code": "x"}]
        for _ in range(5000):
            core = self.core()
            calls = [core.call(request, lambda: None) for request in (
                coma._Request("pending", "{}", coma._count), coma._Request("memory.query", "{}", coma._matches),
                coma.Agent.kept(None, "k"), coma._Speaks.input(None, "?"), core.subscribe("x"))]
            frame = []
            for call in calls:
                frame.append({"jsonrpc": "2.0", "id": call.id, rng.choice(("result", "error")): rng.choice(odd)})
            for seq in range(1, 4):
                message = {"seq": seq, "id": "i", "text": "t", "time": 1, "headers": {}, "deadline": 1, "deaths": 0}
                for _ in range(rng.randrange(3)):
                    message[rng.choice((*message, "data"))] = rng.choice(odd)
                frame.append({"jsonrpc": "2.0", "method": "message", "params": message})
            frame += [{"method": rng.choice(odd), "params": rng.choice(odd)}, {"method": "ended", "params": rng.choice(odd)}]
            if rng.random() < 0.5:
                frame[rng.randrange(len(frame))]["id"] = rng.choice([x for x in odd if not isinstance(x, int)])
            if rng.random() < 0.2:
                frame[rng.randrange(len(frame))] = rng.choice(odd)
            try:
                core.take_in(json.dumps(frame).encode())
            except coma._Broken:
                continue
            for call in calls:
                if call.done:
                    try:
                        call.value()
                    except coma.Error:
                        pass
            try:
                while core.readable:
                    core.take(True)
            except coma.Error:
                pass
            self.assertTrue(all(json.loads(x) for x in core.out))

    def test_a_message_that_was_pushed_before_is_not_taken_twice(self):
        core = self.core()
        push = lambda *seqs: [core.take_in(json.dumps({"method": "message", "params": {"seq": s, "text": str(s)}}).encode())
                              for s in seqs]
        push(1, 2)
        self.assertEqual(core.take(True).text, "1")
        core.lost()
        core.attached()
        opening = json.loads(core.out[-1])
        self.assertEqual({k: opening["params"][k] for k in ("resume", "hand", "done")}, {"resume": True, "hand": 1, "done": 0})
        push(1, 2, 2, 3)
        core.take_in(json.dumps({"jsonrpc": "2.0", "id": opening["id"], "result": {}}).encode())
        self.assertEqual([core.take(True).text, core.take(True).text], ["2", "3"])

    def test_ids_are_unique_among_threads(self):
        core, ids, before = self.core(), [], sys.getswitchinterval()
        self.addCleanup(sys.setswitchinterval, before)
        sys.setswitchinterval(1e-6)
        threads = [threading.Thread(target=lambda: ids.extend([core.new_id() for _ in range(5000)])) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(len(set(ids)), 40_000)

    def test_sends_beyond_the_bound_wait(self):
        core = self.core()
        done = []
        for i in range(1000):
            core.call(coma._Request("send", {"to": "x"}, coma._nothing, marked=True), lambda: done.append(1))
        under_way = [json.loads(x)["id"] for x in core.out if b'"send"' in x]
        self.assertEqual(len(under_way), coma._MAX_SENDING)
        core.lost()
        core.attached()
        opening = json.loads(core.out[-1])["id"]
        core.take_in(json.dumps({"id": opening, "result": {}}).encode())
        again = [json.loads(x) for x in core.out if b'"send"' in x]
        self.assertEqual([x["id"] for x in again], under_way)
        self.assertTrue(all(x["params"]["resent"] for x in again))
        while len(done) < 1000:
            sent = [json.loads(x) for x in core.out if b'"send"' in x]
            core.out.clear()
            self.assertLessEqual(len(sent), coma._MAX_SENDING)
            core.take_in(json.dumps([{"id": x["id"], "result": {}} for x in sent]).encode())


class FakeHost:
    """A server that answers as it is told to."""

    def __init__(self, serve):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % self._listener.getsockname()[1]
        self._serve = serve
        self.connections = 0
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if self._closing:
                connection.close()
                return
            self.connections += 1
            with connection:
                connection.settimeout(host.PATIENCE)
                try:
                    self._serve(connection, self.connections)
                except OSError:
                    pass  # the client has left, as it may

    _closing = False

    def close(self):
        self._closing = True
        with socket.create_connection(self._listener.getsockname()):
            pass
        self._thread.join()
        self._listener.close()


def shake_hands(connection):
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(4096)
    key = next(line.split(b": ")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       b"Sec-WebSocket-Accept: " + accept + b"\r\nSec-WebSocket-Protocol: coma.batch\r\n\r\n")


def read_exactly(connection, n):
    data = b""
    while len(data) < n:
        part = connection.recv(n - len(data))
        if not part:
            raise ConnectionError
        data += part
    return data


def read_frame(connection):
    first, n = read_exactly(connection, 2)
    n &= 0x7F
    if n > 125:
        n = int.from_bytes(read_exactly(connection, 2 if n == 126 else 8), "big")
    key = read_exactly(connection, 4)
    return first & 0xF, coma._mask(read_exactly(connection, n), key)


def answer(connection, result=None):
    """Reads a call and answers it; returns it."""
    while True:
        call = json.loads(read_frame(connection)[1])
        if "id" in call:
            break
    connection.sendall(server_frame(json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": result or {}}).encode()))
    return call


def hold(connection):
    while connection.recv(4096):
        pass


class BadHosts(unittest.TestCase):
    def fake(self, serve):
        fake = FakeHost(serve)
        self.addCleanup(fake.close)
        return fake

    def connect(self, fake):
        agent = coma.connect(fake.url, "t", "a", "m", timeout=5)
        self.addCleanup(agent.close)
        return agent

    def test_handshakes_that_are_none(self):
        rng = random.Random(3)
        answers = [
            b"", b"\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nhello", b"HTTP/1.1 404 Not Found\r\n\r\n", b"SSH-2.0-OpenSSH\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: no\r\n\r\n",
            b"x" * 100_000, b"HTTP/1.1\r\n\r\n", b"HTTP/1.1 503 Service Unavailable\r\n\r\n",
        ] + [bytes(rng.randrange(256) for _ in range(50)) + b"\r\n\r\n" for _ in range(10)]
        for text in answers:
            with self.subTest(text[:40]):
                fake = FakeHost(lambda connection, _: (connection.recv(4096), connection.sendall(text)))
                try:
                    with self.assertRaises(coma.Away):
                        coma.connect(fake.url, "t", "a", "m", timeout=5)
                    with self.assertRaises(coma.Away):
                        asyncio.run(coma.connect_async(fake.url, "t", "a", "m", timeout=5))
                finally:
                    fake.close()

    def test_a_host_that_says_nothing(self):
        done = threading.Event()
        self.addCleanup(done.set)
        fake = self.fake(lambda connection, _: done.wait(host.PATIENCE))
        with self.assertRaises(coma.Away):
            coma.connect(fake.url, "t", "a", "m", timeout=0.1)
        done.set()
        done2 = threading.Event()
        self.addCleanup(done2.set)
        fake = self.fake(lambda connection, _: (shake_hands(connection), done2.wait(host.PATIENCE)))
        with self.assertRaises(coma.Away):
            asyncio.run(coma.connect_async(fake.url, "t", "a", "m", timeout=0.1))
        done2.set()

    def test_noise_after_the_greeting_makes_it_connect_again(self):
        rng = random.Random(4)
        noises = [b"not json", b"[1]", b"{}", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"method":"ended"}'[:-1], b"null"]
        noises = [server_frame(x) for x in noises] + [bytes(rng.randrange(256) for _ in range(60)) for _ in range(20)]
        noises += [server_frame(b"bye", 8), server_frame(b"", 8), b""]

        def serve(connection, count):
            shake_hands(connection)
            call = answer(connection)
            assert call["method"] == "open" and call["params"].get("resume", False) == (count > 1), call
            if count <= len(noises):
                connection.sendall(noises[count - 1])
                connection.shutdown(socket.SHUT_WR)
                hold(connection)
                return
            while True:
                opcode, payload = read_frame(connection)
                if opcode == 8:
                    return
                calls = json.loads(payload)
                for call in calls if isinstance(calls, list) else [calls]:
                    if "id" in call:
                        text = {"jsonrpc": "2.0", "id": call["id"], "result": {"count": 7}}
                        connection.sendall(server_frame(json.dumps(text).encode()))

        fake = self.fake(serve)
        agent = self.connect(fake)
        self.assertEqual(agent.pending(), 7)
        self.assertGreater(fake.connections, len(noises))

    def test_a_ping_is_answered_while_nobody_reads(self):
        got = []

        def serve(connection, _):
            shake_hands(connection)
            answer(connection)
            connection.sendall(server_frame(b"are you there", 9))
            got.append(read_frame(connection))
            answer(connection)

        agent = self.connect(self.fake(serve))
        host.until(lambda: got, "the ping is answered")
        self.assertEqual(got, [(10, b"are you there")])

    def test_a_ping_is_answered_while_no_task_waits(self):
        got = []

        def serve(connection, count):
            shake_hands(connection)
            answer(connection)
            connection.sendall(server_frame(b"are you there, %d" % count, 9))
            got.append(next(frame for frame in iter(lambda: read_frame(connection), None) if frame[0] == 10))
            if count == 2:
                answer(connection)

        fake = self.fake(serve)

        async def idle():
            async with await coma.connect_async(fake.url, "t", "a", "m", timeout=host.PATIENCE):
                while len(got) < 2:  # the second, on the connection that was made again
                    await asyncio.sleep(0.01)

        asyncio.run(asyncio.wait_for(idle(), host.PATIENCE))
        self.assertEqual(got, [(10, b"are you there, 1"), (10, b"are you there, 2")])

    def test_a_call_of_the_hosts_is_refused(self):
        got = []

        def serve(connection, _):
            shake_hands(connection)
            answer(connection)
            connection.sendall(server_frame(b'{"jsonrpc":"2.0","id":"x","method":"dance"}'))
            got.append(json.loads(read_frame(connection)[1]))
            answer(connection)

        self.connect(self.fake(serve))
        host.until(lambda: got, "the call is answered")
        self.assertEqual((got[0]["id"], got[0]["error"]["code"]), ("x", -32601))

    def test_a_stopped_program_tells_by_its_exit_status_what_the_host_has_not_answered(self):
        """0 would be: finished with the message in hand."""
        threads = "with coma.connect() as agent:\n  agent.receive(); print('in hand', flush=True); agent.memory.count()"
        tasks = """async def main(agent):
            await agent.receive()
            print("in hand", flush=True)
            await agent.memory.count()\ncoma.run(main)"""

        def serve(connection, _):
            shake_hands(connection)
            answer(connection)
            message = {"jsonrpc": "2.0", "method": "message", "params": {"seq": 1, "text": "x"}}
            connection.sendall(server_frame(json.dumps(message).encode()))
            while True:
                calls = json.loads(read_frame(connection)[1])
                for call in calls if isinstance(calls, list) else [calls]:
                    if answers and call["method"] == "close":
                        outcomes.append(call["params"])
                        connection.sendall(server_frame(json.dumps({"id": call["id"], "result": {}}).encode()))

        for name, main in ("threads", threads), ("tasks", tasks):
            for answers, status in (True, 0), (False, 143):
                with self.subTest(name, answers=answers):
                    outcomes = []
                    fake = self.fake(serve)
                    env = {**os.environ, "COMA_API": fake.url, "COMA_AGENT": "a", "COMA_MODULE": "m", "COMA_TOKEN": "t",
                           "PYTHONPATH": os.path.dirname(coma.__file__)}
                    code = f"import coma\ncoma._CLOSE_TIMEOUT = {60 if answers else 0.1}\n{main}"
                    with subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE,
                                          stderr=subprocess.PIPE, text=True) as program:
                        self.assertEqual(program.stdout.readline(), "in hand\n")
                        program.send_signal(signal.SIGTERM)
                        _, errors = program.communicate(timeout=host.PATIENCE)
                    self.assertEqual((program.returncode, errors), (status, ""))
                    if answers:
                        self.assertEqual(outcomes, [{"outcome": "stopped", "done": 0, "hand": 1}])

    def test_a_message_without_a_place_ends_the_session(self):
        def serve(connection, _):
            shake_hands(connection)
            answer(connection)
            connection.sendall(server_frame(b'{"jsonrpc":"2.0","method":"message","params":{"text":"x"}}'))
            answer(connection)

        agent = self.connect(self.fake(serve))
        with self.assertRaisesRegex(coma.Error, "no place"):
            agent.receive(timeout=host.PATIENCE)

    def test_a_host_that_refuses_for_good_is_believed(self):
        def serve(connection, count):
            shake_hands(connection)
            if count == 1:
                answer(connection)
                return
            call = json.loads(read_frame(connection)[1])
            error = {"jsonrpc": "2.0", "id": call["id"], "error": {"code": 1006, "message": "replaced"}}
            connection.sendall(server_frame(json.dumps(error).encode()))
            hold(connection)

        fake = self.fake(serve)
        agent = self.connect(fake)
        with self.assertRaisesRegex(coma.Replaced, "replaced"):
            agent.receive(timeout=host.PATIENCE)
        with self.assertRaises(coma.Replaced):
            agent.pending()
        host.until(lambda: not agent._wire._keeper.is_alive(), "it no longer tries")
        self.assertEqual(fake.connections, 2)


class Terminator:
    """What stands before a host that is reached through TLS: a proxy that ends it."""

    def __init__(self, port, cert, key):
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(cert, key)
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = "https://localhost:%d" % self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._closing = False
        self._threads[0].start()

    def _accept(self):
        while True:
            outside, _ = self._listener.accept()
            if self._closing:
                outside.close()
                return
            thread = threading.Thread(target=self._pass_on, args=(outside,))
            self._threads.append(thread)
            thread.start()

    def _pass_on(self, outside):
        """One thread for both directions: an SSLSocket is not for two."""
        try:
            with self._context.wrap_socket(outside, server_side=True) as outer, socket.create_connection(
                ("127.0.0.1", self._port)
            ) as inner:
                while True:
                    ready = [outer] if outer.pending() else select.select([outer, inner], [], [])[0]
                    for end, other in ((outer, inner), (inner, outer)):
                        if end in ready:
                            data = end.recv(65536)
                            if not data:
                                return
                            other.sendall(data)
        except OSError:
            pass  # the client does not trust us, or has left

    def close(self):
        self._closing = True
        with socket.create_connection(self._listener.getsockname()):
            pass
        for thread in self._threads:
            thread.join()
        self._listener.close()


@unittest.skipUnless(shutil.which("openssl"), "openssl makes the certificate")
class OverTLS(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.dir.cleanup)
        cls.cert, key = cls.dir.name + "/cert.pem", cls.dir.name + "/key.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cls.cert, "-days", "2",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
            check=True, capture_output=True)
        backend = host.Host().start()
        cls.addClassCleanup(backend.close)
        proxy = Terminator(backend.port, cls.cert, key)
        cls.addClassCleanup(proxy.close)
        cls.url = proxy.url

    def test_both_faces(self):
        context = ssl.create_default_context(cafile=self.cert)
        big = os.urandom(3 << 20)
        with coma.connect(self.url, host.TOKEN, "tls", "a", tls=context) as a:
            for data in b"small", big:
                a.send("a", data)
                self.assertEqual(a.receive(timeout=host.PATIENCE).data, data)

        async def talk():
            async with await coma.connect_async(self.url, host.TOKEN, "tls", "a", tls=context) as a:
                await a.send("a", big)
                return (await a.receive(timeout=host.PATIENCE)).data

        self.assertEqual(asyncio.run(talk()), big)

    def test_a_certificate_that_nobody_vouches_for(self):
        with self.assertRaisesRegex(coma.Away, "certificate"):
            coma.connect(self.url, host.TOKEN, "tls", "a")
        with self.assertRaisesRegex(coma.Away, "certificate"):
            asyncio.run(coma.connect_async(self.url, host.TOKEN, "tls", "a"))


if __name__ == "__main__":
    unittest.main()
