"""The six real models agree with onnxruntime on fresh inputs, untuned, at one and two threads."""
import numpy as np
import pytest
from small_models import expected, feed, random_inputs, relative_error

TOLERANCE = 1e-4


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", ["mobilenetv2", "resnet50", "unet", "minilm", "bert_base", "gpt2_small"])
def test_untuned(rooftune, model, tmp_path, name, threads):
    path = model(name)
    inputs = random_inputs(path, 100 + threads)
    rooftune.json("run", path, *feed(tmp_path, inputs), "--output-dir", tmp_path / "out", "--threads", threads)
    for output, array in expected(path, inputs).items():
        assert relative_error(np.load(tmp_path / "out" / f"{output}.npy"), array) < TOLERANCE


@pytest.mark.full
@pytest.mark.parametrize("name", ["mobilenetv2", "resnet50", "unet", "minilm", "bert_base", "gpt2_small"])
def test_exported_by_pytorch(rooftune, torch_model, tmp_path, name):
    path = torch_model(name)
    inputs = dict(np.load(path.with_name(f"{name}.inputs.npz")))
    rooftune.json("run", path, *feed(tmp_path, inputs), "--output-dir", tmp_path / "out")
    assert relative_error(np.load(tmp_path / "out" / "y.npy"), np.load(path.with_name(f"{name}.ref.npy"))) < TOLERANCE


@pytest.mark.parametrize("name", ["mobilenetv2", "minilm"])
def test_tuned(rooftune, model, tmp_path, name):
    path = model(name)
    rooftune.json("optimize", path, "--budget", "15s", "--threads", 2, "-o", tmp_path / "tuned", timeout=240)
    for threads in (1, 2):
        inputs = random_inputs(path, 200 + threads)
        rooftune.json("run", tmp_path / "tuned" / "model.rt", *feed(tmp_path, inputs), "--output-dir", tmp_path / "out", "--threads", threads)
        for output, array in expected(path, inputs).items():
            assert relative_error(np.load(tmp_path / "out" / f"{output}.npy"), array) < TOLERANCE
