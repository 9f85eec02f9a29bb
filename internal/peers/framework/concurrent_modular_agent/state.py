import hashlib
import time
import uuid

import chromadb
import numpy


def vector(text):
    """Stands for the default embedder, which would download its weights: it has its dimension, but no meaning."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return numpy.random.default_rng(seed).normal(size=384).astype("float32")


class StateClient:
    """Records are documents of the collection concurrent_modular_agent-state-AGENT, with their time, in seconds as a float,
    under the metadata key timestamp beside the caller's own.
    """

    def __init__(self, agent_name, module_name=None):
        client = chromadb.HttpClient(host="localhost", port=8000)
        self.collection = client.get_or_create_collection(f"concurrent_modular_agent-state-{agent_name}")

    def add(self, states, timestamp=None, metadata=None):
        texts = [states] if isinstance(states, str) else states
        meta = {"timestamp": time.time() if timestamp is None else timestamp, **(metadata or {})}
        self.collection.add(
            ids=[str(uuid.uuid4()) for _ in texts],
            documents=texts,
            embeddings=[vector(text) for text in texts],
            metadatas=[dict(meta) for _ in texts],
        )

    def get(self, max_count=None, metadata=None, reverse=False):
        """(text, timestamp, metadata) of each record, the newest first."""
        found = self.collection.get(include=["documents", "metadatas"], where=metadata)
        records = [(text, meta.pop("timestamp"), meta) for text, meta in zip(found["documents"], found["metadatas"])]
        return sorted(records, key=lambda record: record[1], reverse=not reverse)[:max_count]

    def count(self):
        return self.collection.count()
