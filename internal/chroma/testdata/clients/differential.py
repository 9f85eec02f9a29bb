"""The same generated operations against a real Chroma and against coma, through Chroma's own Python client.

    differential.py REAL_PORT COMA_PORT SEED OPERATIONS

Every answer is compared: ids, documents, metadatas, uris and embeddings for equality, distances to 1e-5, the order of a
query's results wherever their distances differ, and of errors the exception's class. Differences go to standard output;
the exit status is 1 if there are any.
"""

import random
import sys
from collections import Counter

import chromadb
import numpy as np
from chromadb.config import Settings

NAMES = ["plants", "suns", "rivers.and-seas_1", "x" * 60, "concurrent_modular_agent-state-differential"]
IDS = [f"id-{n}" for n in range(60)] + ["é ü", "日本", "a/b?c#d", "🌱"]
WORDS = ["plant", "sun", "water", "Water", "thirsty", "100%", "_x_", "植物", "喉が渇いた", "🌱", "new\nline", '"quoted"', "back\\slash", "é"]
TEXT = {"tag": ["x", "y", "z", ""], "who": ["plant", "sun", "日本"]}
NUMBERS = {"n": [-2, 0, 1, 2, 3, 2.0, 2.5, 2**53 + 1], "f": [0.1, -0.5, 1e300, 3.0, 7]}
FLAGS = {"ok": [True, False]}
MIXED = {"any": ["x", 2, 2.0, 0.5, True, False, "2"]}
KEYS = {**TEXT, **NUMBERS, **FLAGS, **MIXED}
DIMENSION = 6
MISSED = []  # queries of which the real Chroma did not find the nearest


class Generator:
    """Makes operations: a name, arguments, and the collection they are for."""

    def __init__(self, seed):
        self.r = random.Random(seed)

    def vector(self, dimension=DIMENSION):
        if self.r.random() < 0.02:
            return [0.0] * dimension
        return [round(self.r.gauss(0, 1), 3) for _ in range(dimension)]

    def vectors(self, n):
        odd = self.r.random() < 0.03
        return [self.vector(DIMENSION + 1 if odd and self.r.random() < 0.5 else DIMENSION) for _ in range(n)]

    def text(self):
        return " ".join(self.r.choices(WORDS, k=self.r.randint(0, 4)))

    def metadata(self, update=False):
        m = {key: self.r.choice(values) for key, values in KEYS.items() if self.r.random() < 0.4}
        if update and m and self.r.random() < 0.3:
            m[self.r.choice(list(KEYS))] = None
        if self.agents and not update:  # whose records all have a time, and show it
            m["timestamp"] = self.r.choice([0.0, 1.5, 1700000000.25, 3])
        return m or None

    def ids(self, most=6):
        return self.r.sample(IDS, self.r.randint(1, most))

    def where(self, depth=2):
        if depth and self.r.random() < 0.35:
            return {self.r.choice(["$and", "$or"]): [self.where(depth - 1) for _ in range(self.r.randint(2, 3))]}
        key = self.r.choice(list(KEYS) + ["absent"])
        # The real Chroma cuts the operand to an integer where the record's value is one (2 equals 2.5, otherwise.txt):
        # fractions are for the key whose few integers are far from them.
        values = [v for v in KEYS.get(key, ["x"]) if key == "f" or not isinstance(v, float) or v == int(v)]
        value = self.r.choice(values)
        op = self.r.choice(["", "$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin"])
        if op == "":
            return {key: value}
        if op in ("$in", "$nin"):
            kind = type(value)
            return {key: {op: [v for v in values if type(v) is kind][: self.r.randint(1, 3)]}}
        if op[1] in "gl" and self.r.random() < 0.9 and (isinstance(value, (str, bool))):
            value = self.r.choice([0, 0.5, 2] if key == "f" else [0, 2, 2.0])
        return {key: {op: value}}

    def where_document(self, depth=1):
        if depth and self.r.random() < 0.3:
            return {self.r.choice(["$and", "$or"]): [self.where_document(depth - 1) for _ in range(2)]}
        op = self.r.choice(["$contains", "$not_contains", "$regex", "$not_regex"])
        if "regex" in op:
            return {op: self.r.choice(["^plant", "(?i)water", "su.", r"\d+%", "植.", "t$", "a|é", "[^a-z ]"])}
        return {op: self.r.choice(WORDS + ["pla", "n t", "ate", "が"])}

    def filters(self):
        f = {}
        if self.r.random() < 0.5:
            f["where"] = self.where()
        if self.r.random() < 0.25:
            f["where_document"] = self.where_document()
        return f

    def include(self, *more):
        parts = [p for p in ["documents", "metadatas", "embeddings", "uris", *more] if self.r.random() < 0.7]
        return {"include": parts} if self.r.random() < 0.8 else {}

    def records(self, kind):
        ids = self.ids()
        if kind == "add" and self.r.random() < 0.3:
            ids = self.r.sample(IDS, 30)
        n = len(ids)
        args = {"ids": ids}
        if kind != "update" or self.r.random() < 0.5:
            args["embeddings"] = self.vectors(n)
        if "embeddings" in args and self.r.random() < 0.7:
            args["documents"] = [self.text() for _ in ids]
        if self.r.random() < 0.8 or self.agents:
            args["metadatas"] = [self.metadata(kind == "update") for _ in ids]
        if self.r.random() < 0.2:
            args["uris"] = [f"file:{id}" for id in ids]
        return args

    def operation(self):
        name = self.r.choice(NAMES)
        self.agents = name == NAMES[4]
        kind = self.r.choices(
            ["add", "update", "upsert", "get", "query", "delete", "count", "peek", "create", "get_or_create", "get_collection",
             "delete_collection", "rename", "modify", "list", "count_collections"],
            [14, 8, 10, 22, 22, 4, 3, 2, 2, 4, 2, 1, 1, 2, 1, 1])[0]
        if kind in ("add", "update", "upsert"):
            return kind, name, self.records(kind)
        if kind == "get":
            args = self.filters() | self.include()
            if self.r.random() < 0.3:
                args["ids"] = self.ids(20)
            if self.r.random() < 0.3:
                args["limit"] = self.r.choice([1, 2, 5, 100])
            if self.r.random() < 0.3:
                args["offset"] = self.r.choice([0, 1, 5, 100])
            return kind, name, args
        if kind == "query":
            args = self.filters() | self.include("distances")
            args["query_embeddings"] = [self.vector() for _ in range(self.r.randint(1, 3))]
            if self.r.random() < 0.03:
                args["query_embeddings"][0] = self.vector(DIMENSION + 1)
            if self.r.random() < 0.8:
                args["n_results"] = self.r.choice([1, 2, 3, 10, 80])
            return kind, name, args
        if kind == "delete":
            args = self.filters()
            if self.r.random() < 0.6 or not args:
                args["ids"] = self.ids()
            return kind, name, args
        if kind in ("create", "get_or_create"):
            args = {}
            if self.r.random() < 0.7:
                args["configuration"] = {"hnsw": {"space": self.r.choice(["l2", "cosine", "ip"]), "ef_search": 200, "ef_construction": 200}}
            else:
                args["metadata"] = {"hnsw:space": self.r.choice(["l2", "cosine", "ip"]), "hnsw:search_ef": 200, "n": 1}
            return kind, name, args
        if kind == "rename":
            return kind, name, {"name": self.r.choice(NAMES[:4] + ["renamed-1", "-bad-", "ab"])}
        if kind == "modify":
            return kind, name, {"metadata": self.metadata() or {"n": 1}}
        if kind == "peek":
            return kind, name, {"limit": self.r.choice([1, 5, 10])}
        return kind, name, {}


class Side:
    """One server, and the client's collections by name."""

    def __init__(self, port):
        self.client = chromadb.HttpClient(host="localhost", port=port, settings=Settings(anonymized_telemetry=False))
        self.collections = {}

    def do(self, kind, name, args):
        try:
            return "ok", self.run(kind, name, dict(args))
        except Exception as e:  # noqa: BLE001: whatever the client raises is the answer
            return "error", (type(e).__name__, str(e))

    def run(self, kind, name, args):
        client = self.client
        if kind in ("create", "get_or_create"):
            make = client.create_collection if kind == "create" else client.get_or_create_collection
            self.collections[name] = make(name, embedding_function=None, **args)
            return describe(self.collections[name])
        if kind == "get_collection":
            self.collections[name] = client.get_collection(name, embedding_function=None)
            return describe(self.collections[name])
        if kind == "delete_collection":
            return client.delete_collection(name)
        if kind == "list":
            return sorted((describe(c) for c in client.list_collections()), key=lambda c: c["name"])
        if kind == "count_collections":
            return client.count_collections()
        if name not in self.collections:
            self.collections[name] = client.get_or_create_collection(
                name, embedding_function=None, configuration={"hnsw": {"ef_search": 200, "ef_construction": 200}})
        collection = self.collections[name]
        if kind in ("rename", "modify"):
            return collection.modify(**args)
        return getattr(collection, kind)(**args)


def describe(c):
    return {"name": c.name, "metadata": c.metadata, "configuration": c.configuration_json, "tenant": c.tenant, "database": c.database}


def same_vectors(a, b):
    if a is None or b is None:
        return a is b
    # In a cosine space the real Chroma answers vectors that it has normalised and stretched again; coma those given.
    return len(a) == len(b) and all(len(x) == len(y) and np.allclose(x, y, rtol=1e-5, atol=1e-6) for x, y in zip(a, b))


def typed(value):
    """Equality that tells 2 from 2.0 and from True."""
    if isinstance(value, dict):
        return {k: typed(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [typed(v) for v in value]
    return type(value).__name__, value


def compare_records(a, b):
    for part in ("ids", "documents", "metadatas", "uris"):
        if typed(a[part]) != typed(b[part]):
            return f"{part}: {a[part]} / {b[part]}"
    if not same_vectors(a["embeddings"], b["embeddings"]):
        return f"embeddings: {a['embeddings']} / {b['embeddings']}"
    return None


def compare_query(a, b, distances):
    """distances: those of side a, asked for apart where the operation did not."""
    for part in ("ids", "documents", "metadatas", "uris", "embeddings", "distances"):
        if (a[part] is None) != (b[part] is None):
            return f"{part}: {a[part]} / {b[part]}"
    for q, (ids, other) in enumerate(zip(a["ids"], b["ids"])):
        if len(ids) != len(other):
            return f"query {q}: {len(ids)} / {len(other)} results: {ids} / {other}"
        if a["distances"] is not None and not np.allclose(a["distances"][q], b["distances"][q], rtol=1e-5, atol=1e-5):
            return f"query {q}: distances {a['distances'][q]} / {b['distances'][q]}"
        # Runs of equal distance may come in any order, and the last may be cut anywhere.
        start = 0
        d = distances[q]
        for i in range(1, len(ids) + 1):
            if i == len(ids) or abs(d[i] - d[i - 1]) > 1e-5 * max(1, abs(d[i])):
                if i < len(ids) and set(ids[start:i]) != set(other[start:i]):
                    return f"query {q}: order {ids} / {other} by {d}"
                start = i
        where = {id: i for i, id in enumerate(other)}
        for i, id in enumerate(ids):
            if id not in where:
                continue
            for part in ("documents", "metadatas", "uris"):
                if a[part] is not None and typed(a[part][q][i]) != typed(b[part][q][where[id]]):
                    return f"query {q}: {part} of {id}: {a[part][q][i]} / {b[part][q][where[id]]}"
            if a["embeddings"] is not None and not same_vectors([a["embeddings"][q][i]], [b["embeddings"][q][where[id]]]):
                return f"query {q}: embedding of {id}"
    return None


def exact(collection, args):
    """What the query's distances are, by looking at every record: an HNSW index can miss some."""
    filters = {k: args[k] for k in ("where", "where_document") if k in args}
    records = np.asarray(collection.get(include=["embeddings"], **filters)["embeddings"], np.float64)
    k = args.get("n_results", 10)
    if len(records) == 0:
        return [[] for _ in args["query_embeddings"]]
    space = collection.configuration_json["hnsw"]["space"]
    return [sorted(distances(records, np.asarray(q), space))[:k] for q in args["query_embeddings"]]


def distances(records, q, space):
    if space == "l2":
        return ((records - q) ** 2).sum(axis=1)
    if space == "ip":
        return 1 - records @ q
    lengths = np.linalg.norm(records, axis=1) * np.linalg.norm(q)
    return 1 - np.divide(records @ q, lengths, out=np.zeros(len(records)), where=lengths > 0)


def missed(real, own, name, args):
    """Whether the real Chroma has missed records that coma has found."""
    want = exact(real.collections[name], args)
    ask = {**args, "include": ["distances"]}
    theirs, ours = (side.collections[name].query(**ask)["distances"] for side in (real, own))
    alike = lambda got: all(len(g) == len(w) and np.allclose(g, w, rtol=1e-4, atol=1e-4) for g, w in zip(got, want))
    return alike(ours) and not alike(theirs)


def difference(real, own, kind, name, args, a, b):
    if a[0] != b[0]:
        return f"{a} / {b}"
    if a[0] == "error":
        if kind == "rename" and "UNIQUE constraint" in a[1][1] and "already exists" in b[1][1]:
            return None  # coma says it as it does when a collection is created a second time
        return None if a[1][0] == b[1][0] else f"{a[1]} / {b[1]}"
    if kind in ("get", "peek"):
        return compare_records(a[1], b[1])
    if kind == "query":
        by = a[1]["distances"]
        if by is None:
            by = real.collections[name].query(**{**args, "include": ["distances"]})["distances"]
        diff = compare_query(a[1], b[1], by)
        if diff and missed(real, own, name, args):
            MISSED.append(name)
            return None
        return diff
    if typed(a[1]) != typed(b[1]):
        return f"{a[1]} / {b[1]}"
    return None


def main():
    real_port, own_port, seed, operations = (int(a) for a in sys.argv[1:5])
    real, own = Side(real_port), Side(own_port)
    generator = Generator(seed)
    told, errors, wrong = Counter(), Counter(), 0
    for n in range(operations):
        kind, name, args = generator.operation()
        if kind == "rename" and (name == NAMES[4] or args["name"] == NAMES[4]):
            continue  # coma refuses: an agent's memory keeps its name
        a, b = real.do(kind, name, args), own.do(kind, name, args)
        told[kind] += 1
        if a[0] == "error":
            errors[f"{kind}: {a[1][0]}"] += 1
        diff = difference(real, own, kind, name, args, a, b)
        if diff:
            wrong += 1
            print(f"operation {n}: {kind} {name} {args}\n    real / coma: {diff}\n")
            if wrong >= 20:
                break
    print(f"seed {seed}: {sum(told.values())} operations, {wrong} differences, {len(MISSED)} queries that the real Chroma did not answer exactly; {dict(told)}; errors {dict(errors)}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
