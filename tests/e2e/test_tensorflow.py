"""Models of TensorFlow. The converter's process is played by small programs; TensorFlow itself takes part where
ROOFTUNE_TF_PYTHON names a Python that has it (scripts/requirements-tensorflow.txt)."""
import os
import signal
import subprocess
import time

import numpy as np
import pytest
from small_models import expected, feed, mlp, random_inputs, relative_error

TENSORFLOW = os.environ.get("ROOFTUNE_TF_PYTHON")


def python(path, body):
    """A program that says it is a Python with every package, and does `body` when it shall convert ($4 is the result)."""
    path.write_text(f"#!/bin/sh\n[ \"$1\" = -c ] && exit 0\n{body}\n")
    path.chmod(0o755)
    return path


def environment(**more):
    return {**os.environ, "ROOFTUNE_TF_PYTHON": "", "ROOFTUNE_PYTHON": "", **{k: str(v) for k, v in more.items()}}


@pytest.fixture
def keras(tmp_path):
    path = tmp_path / "m.keras"
    path.write_bytes(b"not read by the programs that play the converter")
    return path


def test_a_machine_without_tensorflow(rooftune, tmp_path, keras):
    nothing = tmp_path / "bin"
    nothing.mkdir()
    python(nothing / "python3", "exit 1").write_text("#!/bin/sh\nexit 1\n")
    done = rooftune("characterize", keras, env=environment(PATH=nothing, VIRTUAL_ENV=""))
    assert done.returncode == 4
    assert "pip install tensorflow tf2onnx" in done.stderr and "ROOFTUNE_TF_PYTHON" in done.stderr


def test_what_the_converter_writes_is_read(rooftune, tmp_path, keras):
    model = mlp(tmp_path / "mlp.onnx")
    fake = python(tmp_path / "python", f"[ \"$2\" = tensorflow ] && [ \"$3\" = {keras} ] && cp {model} \"$4\"")
    inputs = random_inputs(model, 3)
    rooftune.json("run", keras, *feed(tmp_path, inputs), "--output-dir", tmp_path / "out", env=environment(ROOFTUNE_TF_PYTHON=fake))
    assert relative_error(np.load(tmp_path / "out" / "y.npy"), expected(model, inputs)["y"]) < 1e-5
    other = python(tmp_path / "other", "exit 3")
    assert rooftune("characterize", keras, env=environment(ROOFTUNE_TF_PYTHON=fake, ROOFTUNE_PYTHON=other)).returncode == 0
    assert rooftune("characterize", keras, env=environment(ROOFTUNE_PYTHON=other)).returncode == 3


@pytest.mark.parametrize("status, exit_code", [(3, 3), (4, 4), (1, 3)])
def test_the_converters_last_words(rooftune, tmp_path, keras, status, exit_code):
    fake = python(tmp_path / "python", f"echo much before >&2; echo noise >&2; echo the layer >&2; echo Foo is unknown >&2; exit {status}")
    done = rooftune("characterize", keras, env=environment(ROOFTUNE_TF_PYTHON=fake))
    assert done.returncode == exit_code
    assert "the layer / Foo is unknown" in done.stderr and "much before" not in done.stderr and str(keras) in done.stderr


def test_a_model_that_is_not_there(rooftune, tmp_path):
    done = rooftune("characterize", tmp_path / "gone.tflite")
    assert done.returncode == 3 and "gone.tflite" in done.stderr


def test_an_interrupt_ends_the_converter(rooftune, tmp_path, keras):
    fake = python(tmp_path / "python", f"echo $$ > {tmp_path}/pid; sleep 100 & wait")
    process = subprocess.Popen([rooftune.program, "characterize", keras], env=environment(ROOFTUNE_TF_PYTHON=fake), stderr=subprocess.PIPE, text=True)
    started = tmp_path / "pid"
    for _ in range(200):
        if started.exists() and started.read_text().strip():
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 4
    assert "interrupted" in process.stderr.read()
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)


MAKER = """
import sys, keras, numpy as np, tensorflow as tf
keras.utils.set_random_seed(3)
L = keras.layers
image = keras.Input((16, 16, 3), name='image')
h = L.BatchNormalization()(L.Conv2D(8, 3, padding='same', activation='relu')(image))
h = L.GlobalAveragePooling2D()(L.MaxPooling2D()(L.DepthwiseConv2D(3, strides=2, padding='same')(h)))
cnn = keras.Model(image, L.Dense(5, activation='softmax')(h))
mlp = keras.Sequential([keras.Input((12,), name='x'), L.Dense(32, activation='gelu'), L.LayerNormalization(), L.Dense(4)])
for name, model in ('cnn', cnn), ('mlp', mlp):
    x = np.random.default_rng(5).standard_normal((2, *model.input_shape[1:])).astype('f4')
    np.save(name + '_x', x)
    np.save(name + '_y', model(x).numpy())
    model.save(name + '.keras')
    model.save(name + '.h5')
    model.export(name + '_saved', verbose=False)
    open(name + '.tflite', 'wb').write(tf.lite.TFLiteConverter.from_saved_model(name + '_saved').convert())
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tensorflow")
    done = subprocess.run([TENSORFLOW, "-c", MAKER], cwd=folder, capture_output=True, text=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", ["cnn", "mlp"])
@pytest.mark.parametrize("form", [".keras", ".h5", "_saved", ".tflite"])
def test_agrees_with_tensorflow(rooftune, tmp_path, made, name, form):
    path = made / (name + form)
    x, y = np.load(made / f"{name}_x.npy"), np.load(made / f"{name}_y.npy")
    taken = rooftune.json("import", path, "-o", tmp_path / "m.onnx")
    info = taken["inputs"]
    assert len(info) == 1 and taken["parameters"] > 100
    if info[0]["shape"][0] == 1:  # TFLite's converter fixes the batch
        x, y = x[:1], y[:1]
    else:
        assert info[0]["shape"][0] == "batch"
    np.save(tmp_path / "x.npy", x)
    dims = ["--dim", f"batch={len(x)}"] if info[0]["shape"][0] == "batch" else []
    rooftune.json("run", path, *dims, "--input", f"{info[0]['name']}={tmp_path / 'x.npy'}", "--output-dir", tmp_path / "out")
    (result,) = (tmp_path / "out").iterdir()
    assert relative_error(np.load(result), y) < 1e-5
