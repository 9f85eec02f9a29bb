"""A program of the Python framework that somebody starts by hand, as module py of agent a.

    by_hand.py FRAMEWORK API_PORT BROKER_PORT

It remembers something, says so to module gomod, and answers that with what it hears, until it hears "end". The framework's
clients have no setting for their ports.
"""

import sys

import chromadb
from paho.mqtt import client as mqtt

FRAMEWORK, API_PORT, BROKER_PORT = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

http_client, connect = chromadb.HttpClient, mqtt.Client.connect
chromadb.HttpClient = lambda host, port: http_client(host=host, port=API_PORT)
mqtt.Client.connect = lambda self, host, port: connect(self, host, BROKER_PORT)

sys.path.insert(0, FRAMEWORK)
from concurrent_modular_agent import MessageClient, StateClient  # noqa: E402

message, state = MessageClient("a", "py"), StateClient("a", "py")
state.add("from Python", timestamp=1700000000.25, metadata={"by": "py"})
message.send("gomod", "ready")
while (heard := message.receive()) != "end":
    if heard == "remember":
        heard = repr([tuple(r) if isinstance(r, tuple) else (r.text, r.timestamp, r.metadata) for r in state.get(max_count=1)])
    message.send("gomod", heard)
message.mqtt_client.publish("end", "", qos=2).wait_for_publish(10)  # behind all that was sent before
message.mqtt_client.disconnect()
