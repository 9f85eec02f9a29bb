import queue

from paho.mqtt import client as mqtt


class MessageClient:
    """Messages are text on concurrent_modular_agent/message/AGENT/MODULE, with QoS 2, from a client without an ID."""

    def __init__(self, agent_name, module_name, mqtt_broker="localhost", mqtt_port=1883, mqtt_qos=2):
        self.agent_name, self.module_name, self.qos = agent_name, module_name, mqtt_qos
        self.mqtt_client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self.mqtt_client.connect(mqtt_broker, mqtt_port)
        self.mqtt_client.subscribe(self.topic(module_name), qos=mqtt_qos)
        self.message_queue = queue.Queue()
        self.mqtt_client.on_message = lambda client, userdata, m: self.message_queue.put(m.payload.decode())
        self.mqtt_client.loop_start()

    def topic(self, module_name):
        return f"concurrent_modular_agent/message/{self.agent_name}/{module_name}"

    def send(self, receiver_name, text):
        self.mqtt_client.publish(self.topic(receiver_name), text, qos=self.qos)

    def receive(self, timeout=None):
        try:
            return self.message_queue.get(block=True, timeout=timeout)
        except queue.Empty:
            return None

    def num_messages(self):
        return self.message_queue.qsize()
