"""Chroma's own Python client at work on the server at a port, be it Chroma or coma.

    python memory.py PORT write COLLECTION            one writer, then 16 threads
    python memory.py PORT fill COLLECTION FROM TO     add records FROM to TO, 1,000 a call
    python memory.py PORT ask COLLECTION SIZE         queries, filtered ones, and the newest 10
    python memory.py PORT get COLLECTION              the newest 10 alone

Prints what it measured as one JSON object; times are seconds, medians. Vectors and records are the same in every run.
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


def timed(call, count):
    """Median seconds of call(i) for i up to count, without the first tenth."""
    took = []
    for i in range(count):
        began = time.perf_counter()
        call(i)
        took.append(time.perf_counter() - began)
    return statistics.median(took[count // 10 :])


def write(collection):
    lot = vectors(0, 3000)

    def add(i):
        text, metadata = record(i)
        collection.add(ids=[f"w{i}"], embeddings=[lot[i]], documents=[text], metadatas=[metadata])

    alone = timed(add, 200)
    each, failed = 60, []

    def writer(n):
        try:
            for i in range(each):
                add(200 + n * each + i)
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
    if collection.count() != 200 + THREADS * each:
        raise RuntimeError(f"{collection.count()} records are there")
    return {"alone": alone, "together": THREADS * each / took}


def fill(collection, start, end):
    took = 0.0
    for first in range(start, end, BATCH):
        lot = vectors(first, first + BATCH)
        texts, metadatas = zip(*(record(i) for i in range(first, first + BATCH)))
        ids = [f"r{i}" for i in range(first, first + BATCH)]
        began = time.perf_counter()
        collection.add(ids=ids, embeddings=lot, documents=list(texts), metadatas=list(metadatas))
        took += time.perf_counter() - began
    if collection.count() != end:
        raise RuntimeError(f"{collection.count()} records are there, not {end}")
    return {"rate": (end - start) / took}


def newest(collection):
    """What the Python framework's state.get(10) asks for, with its client's two requests."""
    found = collection.get(include=["metadatas"])
    order = np.argsort([m["timestamp"] for m in found["metadatas"]], kind="stable")[::-1][:10]
    ids = [found["ids"][i] for i in order]
    return collection.get(ids=ids, include=["embeddings", "documents", "metadatas"])


def ask(collection, size):
    rng = np.random.default_rng(99)
    lot = vectors(0, size)
    count = 60
    asked = lot[rng.integers(0, size, count)] + 0.05 * rng.normal(size=(count, DIMENSIONS))
    asked = (asked / np.linalg.norm(asked, axis=1, keepdims=True)).astype(np.float32)
    include = ["documents", "metadatas", "distances"]
    found = [None] * count

    def query(i):
        found[i] = collection.query(query_embeddings=[asked[i]], n_results=10, include=include)["ids"][0]

    def filtered(where):
        def one(i):
            collection.query(query_embeddings=[asked[i]], n_results=10, include=include, where=where)

        return one

    times = {
        "query": timed(query, count),
        "tenth": timed(filtered({"level": 3}), 20),
        "thousandth": timed(filtered({"kind": "k7"}), 20),
        "both": timed(filtered({"$and": [{"level": {"$gte": 5}}, {"kind": {"$ne": "k9"}}]}), 20),
    }
    hits = 0
    for i in range(count):
        exact = np.argpartition(-(lot @ asked[i]), 10)[:10]
        hits += len({f"r{n}" for n in exact} & set(found[i]))
    return times | {"recall": hits / (10 * count)} | get(collection)


def get(collection):
    try:
        return {"newest": timed(lambda _: newest(collection), 5)}
    except Exception as e:
        return {"newest_error": f"{type(e).__name__}: {str(e)[:200]}"}


def main(port, what, name, *numbers):
    client = chromadb.HttpClient(host="127.0.0.1", port=int(port))
    collection = client.get_or_create_collection(name, embedding_function=None)
    print(json.dumps({"write": write, "fill": fill, "ask": ask, "get": get}[what](collection, *map(int, numbers))))


main(*sys.argv[1:])
