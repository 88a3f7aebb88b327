"""What onnxruntime's own tools write (optimised, quantised) runs, and agrees with onnxruntime on fresh inputs."""
import numpy as np
import onnxruntime
import onnxruntime_models as models
import pytest
from small_models import feed, relative_error

# How each model is made, and operators that must be in it, else the case proves nothing.
CASES = {
    "attention": (lambda p: models.optimised(models.bert(p)), {"Attention", "SkipLayerNormalization", "BiasGelu"}),
    "multi_head": (lambda p: models.optimised(models.bert(p), "MultiHeadAttention"), {"MultiHeadAttention"}),
    "session": (lambda p: models.by_a_session(models.bert(p)), {"FusedMatMul", "Gelu"}),
    "dynamic": (lambda p: models.dynamically_quantised(models.optimised(models.bert(p))), {"QAttention"}),
    "dynamic_session": (lambda p: models.by_a_session(models.dynamically_quantised(models.optimised(models.bert(p), "MultiHeadAttention"))),
                        {"DynamicQuantizeMatMul", "MatMulIntegerToFloat"}),
    "static": (lambda p: models.statically_quantised(models.bert(p), "QOperator"), {"QLinearAdd", "QLinearMul", "QLinearSoftmax"}),
    "qdq": (lambda p: models.statically_quantised(models.bert(p), "QDQ"), set()),
    "cnn_session": (lambda p: models.by_a_session(models.cnn(p)), {"FusedConv"}),
    "cnn_static": (lambda p: models.statically_quantised(models.cnn(p), "QOperator"),
                   {"QGemm", "QLinearAveragePool", "QLinearConcat", "QLinearGlobalAveragePool", "QLinearLeakyRelu", "QLinearSigmoid"}),
    "cnn_qdq": (lambda p: models.statically_quantised(models.cnn(p), "QDQ"), set()),
}


@pytest.mark.parametrize("case", CASES)
def test_agrees(rooftune, tmp_path, case):
    make, wanted = CASES[case]
    path = make(tmp_path / ("cnn.onnx" if "cnn" in case else "bert.onnx"))
    assert {f"com.microsoft.{op}" for op in wanted} <= models.operators(path)
    inputs = models.inputs_of(path, 77)
    options = onnxruntime.SessionOptions()
    if "qdq" in case:  # fused, it rounds elsewhere
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    want = onnxruntime.InferenceSession(str(path), options).run(None, inputs)[0]
    rooftune.json("run", path, *feed(tmp_path, inputs), "--output-dir", tmp_path / "out")
    assert relative_error(np.load(tmp_path / "out" / "y.npy"), want) < (1e-2 if "qdq" in case else 1e-5)


@pytest.mark.parametrize("length, past", [(7, 0), (1, 9)])
def test_decoder(rooftune, tmp_path, length, past):
    path = models.decoder(tmp_path / "decoder.onnx", length, past)
    inputs = models.decoder_inputs(path, length, past)
    want = onnxruntime.InferenceSession(str(path)).run(None, inputs)[0]
    rooftune.json("run", path, *feed(tmp_path, inputs), "--output-dir", tmp_path / "out")
    assert relative_error(np.load(tmp_path / "out" / "y.npy"), want) < 1e-4
    steps = rooftune.json("profile", path, *feed(tmp_path, inputs))["operators"]
    assert not [s for s in steps if s.get("reference")]  # all of it is compiled


def test_layouts_of_one_machine_are_refused(rooftune, tmp_path):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.optimized_model_filepath = str(tmp_path / "all.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(models.cnn(tmp_path / "cnn.onnx")), options)
    done = rooftune("characterize", tmp_path / "all.onnx")
    assert done.returncode == 3
    assert "com.microsoft.nchwc" in done.stderr and "ORT_ENABLE_EXTENDED" in done.stderr
