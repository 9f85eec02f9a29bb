"""Writes what the original makes of many texts, for the tests of package minilm:

    python golden.py MODEL ../testdata [NASTY]

MODEL is the folder of the original (see NOTICE). golden.jsonl: 1,000 texts and the vectors that sentence-transformers
makes of them, each number as a byte of its vector's greatest one (which by itself takes up to 0.0005
from a cosine, so the tests are a little too strict).
tokens.jsonl: NASTY (1,200) nastier texts and their tokens by Chroma's tokenizer, cut to 256.
"""

import base64
import json
import sys

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer

from sentences import nasty, sentences


def main(model, folder, count="1200"):
    torch.set_num_threads(1)
    transformer = SentenceTransformer(model, device="cpu")
    assert transformer.max_seq_length == 256
    texts = sentences()
    vectors = transformer.encode(texts, batch_size=1)  # alone: padding changes the last bits
    with open(folder + "/golden.jsonl", "w") as out:
        for text, vector in zip(texts, vectors):
            rounded = np.round(vector / np.abs(vector).max() * 127).astype(np.int8)
            out.write(json.dumps({"text": text, "vector": base64.b64encode(rounded.tobytes()).decode()}, ensure_ascii=False) + "\n")
    tokenizer = Tokenizer.from_file(model + "/tokenizer.json")
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=256)
    with open(folder + "/tokens.jsonl", "w") as out:
        for text in nasty(int(count)):
            out.write(json.dumps({"text": text, "tokens": tokenizer.encode(text).ids}, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
