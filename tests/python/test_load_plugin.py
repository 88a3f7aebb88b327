"""Plug-ins from Python: by a call, or named in a request."""
import numpy as np
import pytest
import rooftune
from example_plugins import by_numpy, compiled, fresh_inputs, gated
from small_models import relative_error


def test_plugins(tmp_path):
    library, model, package = compiled("operators/operators.c", tmp_path), gated(tmp_path / "m.onnx"), tmp_path / "m.rt"
    with pytest.raises(rooftune.InputError, match="com.example.SwiGLU is not supported"):
        rooftune.characterize(model)
    with pytest.raises(rooftune.InputError, match="No such file"):
        rooftune.load_plugin(tmp_path / "none.so")
    rooftune.import_model(model, output=package, plugins=[library])
    rooftune.load_plugin(library)  # which it is already
    inputs = fresh_inputs(11)
    got, wanted = rooftune.load(package).run(inputs), by_numpy(inputs)
    assert relative_error(got["y"], wanted["y"]) < 1e-5
    assert np.array_equal(got["d"], wanted["d"])
