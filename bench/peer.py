"""Two paho-mqtt clients at QoS 2, in one process, as the Python framework's modules talk.

Prints: round trip p50 and p99 in µs, messages/s. With a third argument, TCP_NODELAY is set, which neither paho-mqtt nor the
framework does: most of a round trip is then waiting for delayed acknowledgements.
"""
import queue
import socket
import sys
import time

import paho.mqtt.client as mqtt

host, port = sys.argv[1], int(sys.argv[2])


def client(name):
    c = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=name)
    c.max_inflight_messages_set(0)
    if len(sys.argv) > 3:
        c.on_socket_open = lambda _c, _u, s: s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    c.connect(host, port)
    c.loop_start()
    return c


def subscribe(c, topic, handle):
    done = queue.Queue()
    c.on_subscribe = lambda *_: done.put(1)
    c.on_message = lambda _c, _u, m: handle(m)
    c.subscribe(topic, qos=2)
    done.get(timeout=10)


x, y = client("peer-x"), client("peer-y")
back = queue.Queue()
subscribe(y, "py/there", lambda m: y.publish("py/back", m.payload, qos=2))
subscribe(x, "py/back", lambda m: back.put(m))
times = []
for i in range(600):
    start = time.perf_counter()
    x.publish("py/there", b"ping", qos=2)
    back.get(timeout=10)
    if i >= 100:
        times.append(time.perf_counter() - start)
times.sort()

n = 5000
done = queue.Queue()
got = []


def count(_m):
    got.append(time.perf_counter())
    if len(got) == n:
        done.put(1)


y.unsubscribe("py/there")
subscribe(y, "py/flood", count)
for _ in range(n):
    x.publish("py/flood", b"x" * 100, qos=2)
done.get(timeout=120)
print(times[len(times) // 2] * 1e6, times[len(times) * 99 // 100] * 1e6, (n - 1) / (got[-1] - got[0]))
