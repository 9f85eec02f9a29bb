"""Chroma's own Python client at work on two servers in turn: the real Chroma, and coma.

    python memory.py CHROMA COMA write COLLECTION            one writer, then 16 threads
    python memory.py CHROMA COMA fill COLLECTION FROM TO     add records FROM to TO, 1,000 a call
    python memory.py CHROMA COMA ask COLLECTION SIZE         queries, filtered ones, and the newest 10

CHROMA and COMA are ports. Each call is made to the one and then to the other, so that what else the machine does is the
same for both. Prints what it measured as one JSON object {"chroma": ..., "coma": ...}; times are seconds, medians.
Vectors and records are the same in every run.
"""

import json
import statistics
import sys
import threading
import time

import chromadb
import numpy as np

DIMENSIONS = 384
BATCH = 1000
THREADS = 16
START = 1_900_000_000.0


def vectors(start, end):
    """Unit vectors around 200 centres, as those of texts lie; made in blocks so that any part is the same in any run."""
    centres = np.random.default_rng(0).normal(size=(200, DIMENSIONS))
    parts = []
    for block in range(start // BATCH, (end + BATCH - 1) // BATCH):
        rng = np.random.default_rng(block + 1)
        v = centres[rng.integers(0, 200, BATCH)] + 1.5 * rng.normal(size=(BATCH, DIMENSIONS))
        parts.append((v / np.linalg.norm(v, axis=1, keepdims=True)).astype(np.float32))
    whole = np.concatenate(parts)
    first = start // BATCH * BATCH
    return whole[start - first : end - first]


def record(i):
    text = f"Record {i} tells of something that a module perceived, thought or did at that moment."
    return text, {"timestamp": START + i, "kind": f"k{i % 1000}", "level": i % 10}


def in_turn(call, count, servers):
    """Median seconds of call(server, i) for i up to count, a server, without the first tenth."""
    took = {name: [] for name in servers}
    for i in range(count):
        for name, server in servers.items():
            began = time.perf_counter()
            call(server, i)
            took[name].append(time.perf_counter() - began)
    return {name: statistics.median(times[count // 10 :]) for name, times in took.items()}


def write(servers):
    lot = vectors(0, 3000)

    def add(collection, i):
        text, metadata = record(i)
        collection.add(ids=[f"w{i}"], embeddings=[lot[i]], documents=[text], metadatas=[metadata])

    alone = in_turn(add, 100, servers)
    return {"alone": alone, "together": {name: together(s, add) for name, s in servers.items()}}


def together(collection, add):
    """Adds a second of THREADS threads."""
    each, before, failed = 40, collection.count(), []

    def writer(n):
        try:
            for i in range(each):
                add(collection, before + n * each + i)
        except Exception as e:
            failed.append(f"{type(e).__name__}: {e}")

    threads = [threading.Thread(target=writer, args=(n,)) for n in range(THREADS)]
    began = time.perf_counter()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    took = time.perf_counter() - began
    if failed:
        raise RuntimeError(failed[0])
    if collection.count() != before + THREADS * each:
        raise RuntimeError(f"{collection.count()} records are there")
    return THREADS * each / took


def fill(servers, start, end):
    took = dict.fromkeys(servers, 0.0)
    for first in range(start, end, BATCH):
        lot = vectors(first, first + BATCH)
        texts, metadatas = zip(*(record(i) for i in range(first, first + BATCH)))
        ids = [f"r{i}" for i in range(first, first + BATCH)]
        for name, collection in servers.items():
            began = time.perf_counter()
            collection.add(ids=ids, embeddings=lot, documents=list(texts), metadatas=list(metadatas))
            took[name] += time.perf_counter() - began
    for name, collection in servers.items():
        if collection.count() != end:
            raise RuntimeError(f"{name} has {collection.count()} records, not {end}")
    return {"rate": {name: (end - start) / seconds for name, seconds in took.items()}}


def newest(collection):
    """What the Python framework's state.get(10) asks for, with its client's two requests."""
    found = collection.get(include=["metadatas"])
    order = np.argsort([m["timestamp"] for m in found["metadatas"]], kind="stable")[::-1][:10]
    ids = [found["ids"][i] for i in order]
    return collection.get(ids=ids, include=["embeddings", "documents", "metadatas"])


def ask(servers, size):
    rng = np.random.default_rng(99)
    lot = vectors(0, size)
    count = 60
    asked = lot[rng.integers(0, size, count)] + 0.05 * rng.normal(size=(count, DIMENSIONS))
    asked = (asked / np.linalg.norm(asked, axis=1, keepdims=True)).astype(np.float32)
    exact = [{f"r{n}" for n in np.argpartition(-(lot @ v), 10)[:10]} for v in asked]
    include = ["documents", "metadatas", "distances"]
    hits = {id(s): 0 for s in servers.values()}

    def query(collection, i):
        found = collection.query(query_embeddings=[asked[i]], n_results=10, include=include)["ids"][0]
        hits[id(collection)] += len(exact[i] & set(found))

    def filtered(where):
        return lambda collection, i: collection.query(query_embeddings=[asked[i]], n_results=10, include=include, where=where)

    return {
        "query": in_turn(query, count, servers),
        "recall": {name: hits[id(s)] / (10 * count) for name, s in servers.items()},
        "tenth": in_turn(filtered({"level": 3}), 20, servers),
        "thousandth": in_turn(filtered({"kind": "k7"}), 20, servers),
        "both": in_turn(filtered({"$and": [{"level": {"$gte": 5}}, {"kind": {"$ne": "k9"}}]}), 20, servers),
        "newest": in_turn(lambda collection, _: newest(collection), 3, servers),
    }


def main(chroma, coma, what, name, *numbers):
    servers = {
        server: chromadb.HttpClient(host="127.0.0.1", port=int(port)).get_or_create_collection(name, embedding_function=None)
        for server, port in {"chroma": chroma, "coma": coma}.items()
    }
    measured = {"write": write, "fill": fill, "ask": ask}[what](servers, *map(int, numbers))
    print(json.dumps({s: {key: both[s] for key, both in measured.items()} for s in servers}))


main(*sys.argv[1:])
