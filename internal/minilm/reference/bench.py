"""Measures our embedder beside onnxruntime with the same weights, in one run and in turns, so that what else the machine
does meets all of them:

    python bench.py MODEL          needs torch, transformers, onnx, onnxscript, onnxruntime, tokenizers

onnxruntime runs the model as torch exports it (float32) and as its own quantize_dynamic makes it (8 bits), each with all
graph optimisations. Times include the tokenizer. It gets batches of 32 of like length, padded to the longest.
Printed are the medians and the least, and by what factor ours is faster.
"""

import base64
import json
import statistics
import sys
import tempfile
import time

import numpy as np
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from tokenizers import Tokenizer
from transformers import AutoModel

from ours import FOLDER, Ours
from sentences import sentences

SENTENCE = "the plant on the left needs more water than it had today"


def export(model, path):
    class Last(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.bert = AutoModel.from_pretrained(model).eval()

        def forward(self, input_ids, attention_mask, token_type_ids):
            return self.bert(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).last_hidden_state

    names = ["input_ids", "attention_mask", "token_type_ids"]
    ids, mask = torch.randint(1000, 20000, (2, 16)), torch.ones(2, 16, dtype=torch.long)
    mask[1, 10:] = 0
    shape = {0: torch.export.Dim("batch", min=1, max=1024), 1: torch.export.Dim("tokens", min=2, max=512)}
    torch.onnx.export(Last(), (ids, mask, ids * 0), path, input_names=names, output_names=["last_hidden_state"],
                      dynamic_shapes=(shape, shape, shape), dynamo=True, external_data=False, verbose=False)


class Onnx:
    def __init__(self, path, tokenizer, cores):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = cores
        options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.tokenizer = tokenizer

    def ask(self, texts):
        start = time.perf_counter()
        vectors = np.zeros((len(texts), 384), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        for at in range(0, len(order), 32):
            batch = order[at:at + 32]
            encoded = self.tokenizer.encode_batch([texts[i] for i in batch])
            ids = np.array([e.ids for e in encoded], dtype=np.int64)
            mask = np.array([e.attention_mask for e in encoded], dtype=np.int64)
            last = self.session.run(None, {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)})[0]
            mean = (last * mask[:, :, None]).sum(1) / mask.sum(1)[:, None]
            vectors[batch] = mean / np.linalg.norm(mean, axis=1)[:, None]
        return time.perf_counter() - start, vectors


def golden():
    """The vectors that sentence-transformers makes of sentences()."""
    lines = [json.loads(line) for line in open(FOLDER + "/../testdata/golden.jsonl")]
    vectors = np.array([np.frombuffer(base64.b64decode(line["vector"]), dtype=np.int8) for line in lines], dtype=np.float64)
    return vectors / np.linalg.norm(vectors, axis=1)[:, None]


def measure(name, texts, rounds, systems):
    for s in systems.values():
        s.ask(texts[:32])
    times = {key: [] for key in systems}
    for _ in range(rounds):
        for key, s in systems.items():
            times[key].append(s.ask(texts)[0])
    ours = times["coma"]
    for key, t in times.items():
        print(f"{name:28} {key:12} median {statistics.median(t) * 1000:9.2f} ms  least {min(t) * 1000:9.2f} ms"
              f"   ours is {statistics.median(t) / statistics.median(ours):5.2f} (least: {min(t) / min(ours):5.2f}) times as fast", flush=True)


def main(model):
    folder = tempfile.mkdtemp()
    export(model, folder + "/float32.onnx")
    quantize_dynamic(folder + "/float32.onnx", folder + "/int8.onnx", weight_type=QuantType.QInt8)
    tokenizer = Tokenizer.from_file(model + "/tokenizer.json")
    tokenizer.enable_truncation(max_length=256)
    tokenizer.enable_padding(pad_id=0, pad_token="[PAD]")
    short = [f"{SENTENCE}, record {i}" for i in range(1000)]
    long = [" ".join([SENTENCE] * 30)]
    for cores in (1, 2):
        systems = {
            "coma": Ours(cores),
            "onnx float32": Onnx(folder + "/float32.onnx", tokenizer, cores),
            "onnx int8": Onnx(folder + "/int8.onnx", tokenizer, cores),
        }
        if cores == 1:
            measure("12 words, 1 core", [SENTENCE], 200, systems)
            measure("256 tokens, 1 core", long, 15, systems)
            texts = sentences()
            want = golden()
            for key in systems:
                cosine = (np.array(systems[key].ask(texts)[1]) * want).sum(1)
                print(f"cosine of 1,000 texts to the original: {key:12} least {cosine.min():.5f} mean {cosine.mean():.5f}", flush=True)
        measure(f"1,000 records, {cores} cores", short, 4, systems)
        peak, mapped = systems["coma"].peak()
        print(f"memory of our process: peak {peak / 1e6:.0f} MB, of which mapped from the binary {mapped / 1e6:.0f} MB")
        systems["coma"].close()


if __name__ == "__main__":
    main(*sys.argv[1:])
