# Starts a module of the Python framework (concurrent_modular_agent) as its entry point does: the file is loaded, and the
# function that module_main has marked is called. The package stays as it is installed. What is set here, before the file
# is loaded, is what it has no setting for:
#
#   - the agent's name, and where the broker and the memory are in this run;
#   - that a message is done with when the module asks for the next one, not when it has reached the process: what a module
#     that is reloaded or dies had not begun with comes to its next generation, and what it died of too often goes to the
#     dead letters (internal/backend/courier.go is the other end);
#   - that messages come and go through the host, by coma's own library, where it is not coma's broker that they would pass
#     (COMA_MAILBOX says which: internal/supervisor/supervisor.go);
#   - that input() asks at coma's console, since a module has no standard input;
#   - that SIGTERM runs what finally and with clauses ask for, and lets go out what was sent last.
import atexit
import builtins
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import types
import urllib.parse

path = sys.argv[1]
sys.argv = [path]
sys.path[0] = os.path.dirname(path)
# Chroma's client tells its makers of its use, and holds up the end of the process while it cannot.
os.environ.setdefault("ANONYMIZED_TELEMETRY", "False")

try:
    import chromadb
    from concurrent_modular_agent import AgentInterface, agent, agent_runner, message
    from paho.mqtt import client as paho
except ModuleNotFoundError as missing:
    sys.exit(f"{missing}: install the framework for {sys.executable}, or in a .venv in the project's folder")

AGENT, MODULE, TOKEN = (os.environ.get("COMA_" + name, "") for name in ("AGENT", "MODULE", "TOKEN"))
BROKER = urllib.parse.urlsplit(os.environ.get("COMA_BROKER") or "mqtt://localhost:1883")
BY_HOST = os.environ.get("COMA_MAILBOX") != "mqtt"
MEMORY = urllib.parse.urlsplit(os.environ.get("COMA_HTTP") or "http://localhost:8000")
HAND = "$coma/hand"  # where the host is told which message the module has begun with
FAREWELL = 2  # seconds for what was sent last to go out
KNOWN = 1000  # messages that are known again when they are sent again after a lost connection


class Whole:
    """What must not be left half done, in the main thread: SIGTERM waits for its end."""

    depth, asked = 0, False

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            Whole.depth += 1

    def __exit__(self, *_):
        if threading.current_thread() is threading.main_thread():
            Whole.depth -= 1
            if Whole.asked and not Whole.depth:
                sys.exit(0)


class Arrived:
    """What a message that has arrived is known by."""

    def __init__(self, client, m):
        self.client, self.mid, self.qos, self.connection, self.over = client, m.mid, m.qos, client.connection, False
        self.id = dict(getattr(m.properties, "UserProperty", ())).get("id")

    def done(self):
        self.over = True
        if self.connection == self.client.connection:  # else it comes again, and is acknowledged then
            with Whole():
                self.client.ack(self.mid, self.qos)


class Mailbox(queue.Queue):
    """The queue in which the framework keeps a module's messages. Taking one out says that the one before is done with."""

    arriving = threading.local()
    all = []

    def __init__(self, maxsize=0):
        super().__init__(maxsize)
        self.hand = None
        Mailbox.all.append(self)

    def put(self, text, block=True, timeout=None):
        super().put((text, Mailbox.arriving.now), block, timeout)

    def get(self, block=True, timeout=None):
        self.finish()
        text, self.hand = super().get(block, timeout)
        if self.hand.id:
            self.hand.client.tell(HAND, self.hand.id)
        return text

    def finish(self):
        hand, self.hand = self.hand, None
        if hand:
            hand.done()


class Client(paho.Client):
    """The framework's MQTT client, with acknowledgements in the module's hands, and subscriptions that outlive connections."""

    all = []

    def __init__(self, version):
        # The first one is the module's own, and has its name: for the host, and as the sender of messages.
        name = "" if Client.all or BY_HOST else f"{AGENT}/{MODULE}"
        super().__init__(version, client_id=name, protocol=paho.MQTTv5, manual_ack=True)
        Client.all.append(self)
        self.reconnect_delay_set(1, 5)
        # What is sent must be on its way before the message that it answers is done with: not wait here for its turn.
        self.max_inflight_messages_set(10000)
        self.on_connect = self.connected
        self.connection = 0
        self.subscriptions, self.sent, self.known = [], [], {}

    def connect(self, host, port=1883, *args, **more):
        if (host, port) == ("localhost", 1883):
            host, port = BROKER.hostname, BROKER.port or (8883 if BROKER.scheme == "mqtts" else 1883)
            if BROKER.username:
                self.username_pw_set(urllib.parse.unquote(BROKER.username), urllib.parse.unquote(BROKER.password or ""))
            if BROKER.scheme == "mqtts":
                self.tls_set()
        return super().connect(host, port, *args, **more)

    def connected(self, client, userdata, flags, reason, properties):
        if reason.is_failure:
            print(f"the MQTT broker at {BROKER.hostname} refuses: {reason}", file=sys.stderr)
            return
        self.connection += 1
        for args, more in self.subscriptions:
            super().subscribe(*args, **more)

    def subscribe(self, *args, **more):
        self.subscriptions.append((args, more))
        return super().subscribe(*args, **more)

    def publish(self, *args, **more):
        with Whole():
            info = super().publish(*args, **more)
            if info.rc == paho.MQTT_ERR_NO_CONN:  # it is kept, and goes out when there is a connection again
                info.rc = paho.MQTT_ERR_SUCCESS
            self.sent = [earlier for earlier in self.sent if not earlier.is_published()] + [info]
            return info

    def tell(self, topic, text):
        with Whole():
            super().publish(topic, text)

    @property
    def on_message(self):
        return super().on_message

    @on_message.setter
    def on_message(self, callback):
        def arrived(client, userdata, m):
            new = Arrived(self, m)
            old = self.known.get(new.id)
            if old:
                old.mid, old.connection = new.mid, new.connection
                if old.over:
                    self.ack(m.mid, m.qos)
                return
            if new.id:
                self.known[new.id] = new
                if len(self.known) > KNOWN:
                    del self.known[next(iter(self.known))]
            Mailbox.arriving.now = new
            m.payload = m.payload.decode(errors="replace").encode()  # one that is no text would end the client's thread
            callback(client, userdata, m)

        paho.Client.on_message.fset(self, arrived)

    def end(self, until):
        for info in self.sent:
            try:
                info.wait_for_publish(max(0, until - time.monotonic()))
            except (RuntimeError, ValueError):  # there is no connection
                break
        self.disconnect()
        self.loop_stop()


class ByHost(message.MessageClient):
    """The framework's message client of this module, without MQTT."""

    all = []

    def __init__(self, agent_name, module_name):
        import coma  # only now: a project's own file of that name comes first, and is none of ours

        self.agent_name, self.module_name = agent_name, module_name
        self.unknown, self.stopped = (coma.Unknown, coma.Invalid), coma.Stopped
        self.host = coma.connect()
        ByHost.all.append(self)
        atexit.register(farewell)  # to come before what coma's library does at the end

    def send(self, receiver_name, message):
        text = "" if message is None else str(message) if isinstance(message, (int, float)) else message
        with Whole():
            try:
                self.host.send(receiver_name, text)
            except self.unknown:  # no module of coma's, but somebody may listen at the broker
                self.host.publish(f"concurrent_modular_agent/message/{self.agent_name}/{receiver_name}", text)

    def receive(self, timeout=None):
        with Whole():
            try:
                m = self.host.try_receive() if timeout == 0 else self.host.receive(timeout)
            except TimeoutError:
                return None
            except self.stopped:
                sys.exit(0)  # which threads end by without a word
            return m and m.text

    def num_messages(self):
        with Whole():
            return self.host.pending()

    def end(self):
        if Whole.asked:  # else the host sees by the exit code whether the message in hand is done with
            self.host.close("stopped")

    def __del__(self):
        pass  # there is no MQTT client


def own(agent_name, module_name, *args, **more):
    if (agent_name, module_name) == (AGENT, MODULE) and not ByHost.all:
        return ByHost(agent_name, module_name)
    return message.MessageClient(agent_name, module_name, *args, **more)


if BY_HOST:
    agent.MessageClient = own
message.mqtt = types.SimpleNamespace(**{**vars(paho), "Client": Client})
message.queue = types.SimpleNamespace(**{**vars(queue), "Queue": Mailbox})

http_client = chromadb.HttpClient


def memory_client(host="localhost", port=8000, ssl=False, headers=None, **more):
    if (host, int(port)) == ("localhost", 8000):
        host, port, ssl = MEMORY.hostname, MEMORY.port or 8000, MEMORY.scheme == "https"
        headers = {"Authorization": f"Bearer {TOKEN}", **(headers or {})}
    return http_client(host=host, port=port, ssl=ssl, headers=headers, **more)


chromadb.HttpClient = memory_client

interface = AgentInterface.__init__


def named(self, agent_name, module_name):
    if agent_name == "myagent" and not (Client.all or ByHost.all):  # what module_main calls every agent
        agent_name, module_name = AGENT, MODULE
    interface(self, agent_name, module_name)
    self.log_color_code = self.log_reset_code = ""  # coma has a colour for each module


AgentInterface.__init__ = named


def ask(prompt=""):
    """As input() of Python, at coma's console."""
    sys.stdout.flush()
    try:
        asked = subprocess.run(["coma", "input", "--", str(prompt)], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except FileNotFoundError:
        raise EOFError("input: there is no command coma in PATH, which asks at the console") from None
    if asked.returncode:
        raise EOFError("input: " + asked.stderr.strip())
    return asked.stdout.removesuffix("\n")


builtins.input = ask


def stop(*_):
    Whole.asked = True
    late = threading.Timer(2 * FAREWELL, lose_patience)  # the module's threads may go on, or a clause of its own
    late.daemon = True
    late.start()
    for mailbox in ByHost.all:
        mailbox.host._stop()  # ends a receive that waits
    if not Whole.depth:
        sys.exit(0)


def lose_patience():
    for mailbox in ByHost.all:
        mailbox.end()
    os._exit(0)


def farewell():
    until = time.monotonic() + FAREWELL
    for mailbox in ByHost.all:
        mailbox.end()
    for client in Client.all:
        client.end(until)


signal.signal(signal.SIGTERM, stop)
atexit.register(farewell)

main = agent_runner.find_module_main_function(path)
if main is None:
    sys.exit(f"{path}: no function is marked with @module_main")
main()
for mailbox in Mailbox.all:
    mailbox.finish()
