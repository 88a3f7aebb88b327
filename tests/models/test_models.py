"""The models are what they claim to be: valid, deterministic, numerically sane, and MiniLM knows English."""
import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import make_models  # noqa: E402
import minilm  # noqa: E402

ort = pytest.importorskip("onnxruntime")
SMALL = ["mobilenetv2", "resnet50", "unet", "minilm"]
PARAMETERS = dict(mobilenetv2=3.5e6, resnet50=25.6e6, unet=7.77e6, minilm=22.6e6)
GFLOP = dict(mobilenetv2=0.60, resnet50=8.18, unet=24.1, minilm=2.87)


def session(path):
    return ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("name", SMALL)
def test_valid_and_sized_as_published(model, name):
    loaded = onnx.load(model(name))
    onnx.checker.check_model(loaded, full_check=True)
    facts = make_models.facts(loaded)
    assert facts["params"] == pytest.approx(PARAMETERS[name], rel=0.02)
    assert facts["gflop"] == pytest.approx(GFLOP[name], rel=0.01)


@pytest.mark.parametrize("name", SMALL)
def test_reference_and_scale_of_the_output(model, name):
    path = model(name)
    inputs = dict(np.load(path.with_name(f"{name}.inputs.npz")))
    (y,) = session(path).run(None, inputs)
    ref = np.load(path.with_name(f"{name}.ref.npy"))
    assert np.linalg.norm(y - ref) <= 1e-5 * np.linalg.norm(ref)
    if name == "minilm":
        assert np.linalg.norm(y) == pytest.approx(1, abs=1e-5)
    else:
        assert 0.1 < y.std() < 10


@pytest.mark.parametrize("name", ["mobilenetv2", "resnet50", "unet"])
def test_activations_stay_of_order_one(model, name):
    loaded = onnx.load(model(name))
    sums = [n.output[0] for n in loaded.graph.node if n.op_type in ("Relu", "Clip", "Add", "BatchNormalization")]
    for s in sums:
        loaded.graph.output.append(onnx.ValueInfoProto(name=s))
    x = np.random.default_rng(7).standard_normal([1, 3] + [256 if name == "unet" else 224] * 2, dtype=np.float32)
    values = ort.InferenceSession(loaded.SerializeToString(), providers=["CPUExecutionProvider"]).run(sums, {"x": x})
    for s, v in zip(sums, values):
        assert 0.1 < v.std() < 10, s


def test_two_runs_give_the_same_files(tmp_path):
    digests = []
    for run in ("a", "b"):
        subprocess.run([sys.executable, make_models.__file__, tmp_path / run, "mobilenetv2"], check=True)
        digests.append({f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in (tmp_path / run).glob("*.onnx")})
    assert digests[0] and digests[0] == digests[1]


def test_unknown_name_is_refused(tmp_path):
    done = subprocess.run([sys.executable, make_models.__file__, tmp_path, "alexnet"], capture_output=True, text=True)
    assert done.returncode == 2 and "alexnet" in done.stderr and "resnet50" in done.stderr


def test_wordpiece():
    t = minilm.tokenizer()
    assert t.pieces("embeddings") == ["em", "##bed", "##ding", "##s"]
    assert t.words("Café, naïve: don't!") == ["cafe", ",", "naive", ":", "don", "'", "t", "!"]
    encoded = t.encode("hello world", 8)
    assert encoded["input_ids"].tolist() == [[101, 7592, 2088, 102, 0, 0, 0, 0]]
    assert encoded["attention_mask"].tolist() == [[1, 1, 1, 1, 0, 0, 0, 0]]
    assert t.encode("one two three four", 4)["input_ids"].shape == (1, 4)


def test_minilm_puts_paraphrases_closest(model):
    run, t = session(model("minilm")), minilm.tokenizer()
    pairs = [("A man is eating food.", "A man is eating a meal."),
             ("The new movie is awesome.", "The new film is so great."),
             ("How do I reset my password?", "I forgot my login credentials, what now?")]
    embed = lambda text: run.run(None, t.encode(text, 128))[0][0]
    left, right = (np.array([embed(p[i]) for p in pairs]) for i in (0, 1))
    similarity = left @ right.T
    assert (similarity.argmax(axis=1) == np.arange(len(pairs))).all()
    for i in range(len(pairs)):
        others = np.delete(similarity[i], i)
        assert similarity[i, i] > 0.5 and similarity[i, i] > others.max() + 0.3
