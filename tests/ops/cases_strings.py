"""Strings, and n-grams of strings and integers."""
import numpy as np

from harness import Case, by_the_standard, operator
from samples import broadcast_shapes, shape

WORDS = ["monday", "Tuesday", "a b", "", "  two  spaces ", "x-y--z", "ä", "Wednesday", "a,b,", "mail@example.org"]


def texts(rng, shape, words=WORDS):
    return rng.choice(np.array(words, object), shape)


@operator("StringConcat", cases=16)
def concat(rng):
    a, b = broadcast_shapes(rng, 2)
    return by_the_standard(Case("StringConcat", [texts(rng, a), texts(rng, b)], opset=20, lowered=False))


@operator("StringSplit", cases=24)
def split(rng):
    attributes = {}
    if rng.random() < 0.7:
        attributes["delimiter"] = str(rng.choice(["", ",", "-", "--", " "]))
    if rng.random() < 0.4:
        attributes["maxsplit"] = int(rng.integers(0, 3))
    x = texts(rng, shape(rng, int(rng.integers(1, 4)), 5))
    parts = [str(t).split(attributes.get("delimiter") or None, attributes.get("maxsplit", -1)) for t in x.reshape(-1)]
    width = max(map(len, parts))
    padded = np.array([p + [""] * (width - len(p)) for p in parts], object).reshape(*x.shape, width)
    counts = np.array([len(p) for p in parts], np.int64).reshape(x.shape)
    return Case("StringSplit", [x], attributes, outputs=2, opset=20, expected=[padded, counts], lowered=False)


@operator("RegexFullMatch", cases=16)
def match(rng):
    pattern = str(rng.choice([r".*day", r"[a-z]+", r"", r"(\w+)@(\w+)\.org", r"\s*\w+(\s+\w+)*\s*", r"[^,]*(,[^,]*)+"]))
    words = [w for w in WORDS if w.isascii()] + ["ab" * 5000]
    return by_the_standard(Case("RegexFullMatch", [texts(rng, shape(rng, int(rng.integers(1, 3))), words)], {"pattern": pattern}, opset=20, lowered=False))


@operator("StringNormalizer", cases=20)
def normalizer(rng):
    words = ["monday", "Monday", "tuesday", "WEDNESDAY", "x"]
    attributes = {"case_change_action": str(rng.choice(["NONE", "LOWER", "UPPER"])), "is_case_sensitive": int(rng.integers(2))}
    if rng.random() < 0.8:
        attributes["stopwords"] = [str(w) for w in rng.choice(words, int(rng.integers(1, 4)), replace=False)]
    x = texts(rng, shape(rng, 1) if rng.random() < 0.5 else (1, int(rng.integers(1, 6))), words)
    same = (lambda w: w) if attributes["is_case_sensitive"] else str.lower
    change = {"NONE": lambda w: w, "LOWER": str.lower, "UPPER": str.upper}[attributes["case_change_action"]]
    stops = {same(w) for w in attributes.get("stopwords", [])}
    kept = [change(w) for w in x.reshape(-1) if same(w) not in stops] or [""]
    return Case("StringNormalizer", [x], attributes, expected=[np.array(kept, object).reshape(x.shape[:-1] + (-1,))], lowered=False)


@operator("TfIdfVectorizer", cases=24)
def vectorizer(rng):
    strings = rng.random() < 0.3
    ones = rng.permutation(6)[: int(rng.integers(1, 5))].tolist()
    twos = [[a, b] for a in range(4) for b in range(3) if rng.random() < 0.5] or [[1, 2]]
    pool, count = ones + [w for pair in twos for w in pair], len(ones) + len(twos)
    least = int(rng.integers(1, 3))
    attributes = {"mode": str(rng.choice(["TF", "IDF", "TFIDF"])), "min_gram_length": least, "max_gram_length": 2,
                  "max_skip_count": int(rng.integers(0, 4)), "ngram_counts": [0, len(ones)], "ngram_indexes": rng.permutation(count).tolist()}
    if rng.random() < 0.5:
        attributes["weights"] = rng.uniform(0.5, 2, count).astype(np.float32).tolist()
    x = rng.integers(0, 7, shape(rng, int(rng.integers(1, 3)), 9))
    if strings:
        attributes["pool_strings"], x = [f"w{w}" for w in pool], np.array([f"w{w}" for w in x.reshape(-1)], object).reshape(x.shape)
    else:
        attributes["pool_int64s"] = pool
        x = x.astype(rng.choice(["int32", "int64"]))
    return Case("TfIdfVectorizer", [x], attributes, lowered=False)
