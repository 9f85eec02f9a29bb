"""Writes what the library tokenizers makes of every code point between an a and a b, as unicode8.go needs to know it:

    python characters.py MODEL > characters.txt

A line a code point: its number, the normalised text, and the words that it is split into; both in hexadecimal UTF-8,
words separated by |. A character that unicode8.go must list is one where the tokenizer without it says otherwise.
"""

import sys

from tokenizers import Tokenizer


def main(model):
    tokenizer = Tokenizer.from_file(model + "/tokenizer.json")
    for code in range(0x110000):
        if 0xD800 <= code < 0xE000:
            continue
        text = tokenizer.normalizer.normalize_str("a" + chr(code) + "b")
        words = [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)]
        print(f"{code:x}\t{text.encode().hex()}\t" + "|".join(word.encode().hex() for word in words))


if __name__ == "__main__":
    main(*sys.argv[1:])
