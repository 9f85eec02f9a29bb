"""Spearman's correlation of our cosines, and the original's, with people's judgements in the test set of STS-B:

    python stsb.py MODEL stsb-en-test.csv

The data is not in this repository, as its licence does not clearly allow that: take stsb-en-test.csv (1,379 pairs) from
https://github.com/PhilipMay/stsb-multi-mt, folder data.
"""

import csv
import sys

import numpy as np
from scipy.stats import spearmanr
from sentence_transformers import SentenceTransformer

from ours import Ours


def main(model, data):
    pairs = [(a, b, float(score)) for a, b, score in csv.reader(open(data, encoding="utf-8", newline=""))]
    judged = [score for _, _, score in pairs]
    texts = [a for a, _, _ in pairs] + [b for _, b, _ in pairs]
    ours = Ours(2)
    vectors = {
        "coma": np.array(ours.ask(texts)[1]),
        "sentence-transformers": SentenceTransformer(model, device="cpu").encode(texts, normalize_embeddings=True),
    }
    ours.close()
    for name, v in vectors.items():
        print(f"{len(pairs)} pairs, {name}: Spearman {spearmanr(judged, (v[:len(pairs)] * v[len(pairs):]).sum(1)).statistic:.4f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
