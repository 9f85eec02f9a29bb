"""Writes golden.json: what the Python framework's own retrievers choose, for TestAsThePythonFramework to compare with.

    python golden.py path/to/concurrent-modular-agent > golden.json

The path is a checkout of https://github.com/AlternativeMachine/concurrent-modular-agent (golden.json was made with commit
af5c4d7). Its retriever.py and state.py run unchanged; only the client beneath them is played here, since it would want a
Chroma and a model. Needs numpy; state.py also imports chromadb.
"""

import importlib.util
import json
import pathlib
import sys
import types

import numpy as np

NOW = 1_900_000_000.0
RECORDS, DIMENSIONS = 140, 6  # more records than the 100 that the retrievers look at


def module(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


def framework(checkout):
    package = pathlib.Path(checkout) / "concurrent_modular_agent"
    sys.modules.setdefault("loguru", types.SimpleNamespace(logger=None))
    state = module("concurrent_modular_agent.state", package / "state" / "state.py")
    sys.modules["concurrent_modular_agent"] = types.SimpleNamespace(StateClient=object)
    return state.State, module("concurrent_modular_agent.retriever", package / "retriever.py")


class Client:
    """Answers queries as Chroma does with its default space: the nearest by squared Euclidean distance."""

    def __init__(self, State, records):
        self.State = State
        self.records = records
        self.vectors = np.array([r["vector"] for r in records], dtype=np.float32).astype(np.float64)

    def query(self, text, max_count, return_distances):
        vector = np.array(json.loads(text), dtype=np.float32).astype(np.float64)
        distances = ((self.vectors - vector) ** 2).sum(axis=1)
        near = np.argsort(distances, kind="stable")[:max_count]
        state = self.State(
            ids=[self.records[i]["id"] for i in near],
            texts=["" for _ in near],
            vector=[self.vectors[i] for i in near],
            timestamps=[self.records[i]["time"] for i in near],
        )
        return state, distances[near].tolist()


def probabilities_told(record):
    """Lets numpy tell record the probabilities of each draw."""
    choose = np.random.choice

    def choice(*args, **kwargs):
        record(np.asarray(kwargs["p"]).tolist())
        return choose(*args, **kwargs)

    np.random.choice = choice


def main(checkout):
    State, retriever = framework(checkout)
    rng = np.random.default_rng(4)

    def vector():
        return [float(x) for x in rng.normal(size=DIMENSIONS).astype(np.float32)]

    records = [
        {"id": f"r{i}", "vector": vector(), "time": NOW - round(float(rng.uniform(0, 1e6)), 6)} for i in range(RECORDS)
    ]
    client = Client(State, records)
    query = vector()
    golden = {"now": NOW, "records": records, "query": query, "time_weighted": [], "alpha_beta": []}

    for decay in [0, 1e-6, 1e-5, 1e-4, -1e-5]:
        found = retriever.TimeWeightedRetriever(client, decay).retrieve(json.dumps(query), max_count=12, now=NOW)
        golden["time_weighted"].append({"decay": decay, "ids": found.ids})

    told = []
    probabilities_told(told.append)
    for seed, (alpha, beta, pi, k) in enumerate(
        [(1, 1, 0.5, 5), (1, 1, 0.5, 1), (200, -2, 0.5, 20), (-300, 0.3, 0.9, 60), (50, 3, 0, 10), (400, 1, 1, 10), (0, 0, 0.5, 100)]
    ):
        np.random.seed(seed)
        one = retriever.AlphaBetaRetriever(client, alpha=alpha, beta=beta, pi=pi)
        calls = []
        for _ in range(4):  # the counts of one call weigh in the next
            near, _ = client.query(json.dumps(query), 100, True)
            found = one.retrieve(json.dumps(query), retrieve_max_count=k)
            place = {id: i for i, id in enumerate(near.ids)}
            calls.append({"ids": found.ids, "p": [told[-1][place[id]] for id in found.ids]})
        # The uniform numbers that numpy drew, which is all of its chance.
        uniform = np.random.RandomState(seed).random_sample(4 * 3 * k).tolist()
        golden["alpha_beta"].append({"alpha": alpha, "beta": beta, "pi": pi, "k": k, "uniform": uniform, "calls": calls})
    json.dump(golden, sys.stdout)
    print()


main(sys.argv[1])
