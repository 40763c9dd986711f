"""int8: which weights have how many bits, what stays float, and how near it stays."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from bunri.exporting.quantize import quantize_network
from bunri.model.onnx_file import FRAME, FRAME_PROBS


def make_network():
    """Return dense and depthwise convolutions with ReLU, and a last one."""
    rng = np.random.default_rng(0)
    shapes = {"w1": (8, 3, 3, 3), "w2": (8, 1, 3, 3), "w3": (8, 8, 1, 1), "w4": (3, 8, 1, 1)}
    weights = {name: rng.normal(size=shape) * 0.4 for name, shape in shapes.items()}
    weights["b2"] = rng.normal(size=8)

    def convolve(name, inputs, output, **attributes):
        return helper.make_node("Conv", inputs, [output], name, **attributes)

    nodes = [
        convolve("first", [FRAME, "w1"], "a", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"], "relu"),
        convolve("depthwise", ["b", "w2", "b2"], "c", pads=[1, 1, 1, 1], group=8),
        convolve("dense", ["c", "w3"], "d"),
        convolve("last", ["d", "w4"], "logits"),
        helper.make_node("Softmax", ["logits"], [FRAME_PROBS], "softmax", axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info(FRAME, TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info(FRAME_PROBS, TensorProto.FLOAT, ["n", "c", "h", "w"])],
        [numpy_helper.from_array(v.astype(np.float32), name) for name, v in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def make_frames(seed, count=16):
    rng = np.random.default_rng(seed)
    return [rng.uniform(-1, 1, (3, 32, 64)).astype(np.float32) for _ in range(count)]


def run(model, frames):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return np.concatenate([session.run([FRAME_PROBS], {FRAME: f[None]})[0] for f in frames])


@pytest.fixture(scope="module")
def pair():
    network = make_network()
    before = network.SerializeToString()
    quantized = quantize_network(network, make_frames(0))
    assert network.SerializeToString() == before
    return network, quantized


def test_quantize__stays_near(pair):
    frames = make_frames(1)
    exact, rounded = (run(model, frames) for model in pair)
    assert (exact.argmax(1) == rounded.argmax(1)).mean() > 0.97
    assert 0 < np.abs(exact - rounded).max() < 0.2


def test_quantize__gives_dense_weights_7_bits_and_depthwise_8(pair):
    weights = {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in pair[1].graph.initializer
        if tensor.data_type == TensorProto.INT8 and len(tensor.dims) == 4
    }
    largest = {name[:2]: int(np.abs(values).max()) for name, values in weights.items()}
    assert largest == {"w1": 64, "w2": 127, "w3": 64}


def test_quantize__leaves_the_last_convolution(pair):
    floats = {tensor.name for tensor in pair[1].graph.initializer if len(tensor.dims) == 4}
    assert "w4" in floats
    domains = {node.domain for node in pair[1].graph.node}
    assert domains <= {"", "ai.onnx"}


def test_quantize__takes_out_of_biases_what_rounding_adds(caplog):
    # One weight of seven bits: 0.5 of a step is lost at each of 27 places, all inputs being 1.
    network = make_network()
    values = np.full((8, 3, 3, 3), 0.5 / 64, np.float32)
    values[:, 0, 0, 0] = 1.0
    values[:, 0, 0, 1:] = 0.4 / 64  # rounds to 0
    network.graph.initializer[0].CopyFrom(numpy_helper.from_array(values, "w1"))
    frames = [np.ones((3, 32, 32), np.float32) for _ in range(16)]
    quantized = quantize_network(network, frames)
    assert np.abs(run(quantized, frames) - run(network, frames)).mean() < 0.004
    assert not caplog.records  # the quantiser would log, and set up, the process's root logger


def test_quantize__keeps_in_8_bits_what_lies_between_convolutions_and_floats_what_follows():
    network = make_network()
    del network.graph.node[3:]  # two convolutions with ReLU between are left
    rng = np.random.default_rng(1)
    weights = {"w3": (8, 8, 3, 3), "w4": (3, 8, 1, 1)}
    kept = [t for t in network.graph.initializer if t.name not in weights]
    del network.graph.initializer[:]
    network.graph.initializer.extend(kept)
    for name, shape in weights.items():
        values = rng.normal(size=shape).astype(np.float32)
        network.graph.initializer.append(numpy_helper.from_array(values, name))
    scales = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales")
    network.graph.initializer.append(scales)
    network.graph.node.extend([
        helper.make_node("Add", ["b", "c"], ["sum"], "add"),
        helper.make_node("Resize", ["sum", "", "scales"], ["large"], "enlarge", mode="nearest"),
        helper.make_node("Conv", ["large", "w3"], ["e"], "dense", pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["e", "w4"], ["one"], "last_of_large"),
        helper.make_node("Conv", ["sum", "w4"], ["other"], "last_of_small"),
        helper.make_node("Resize", ["other", "", "scales"], ["grown"], "grow", mode="linear"),
        helper.make_node("Add", ["one", "grown"], ["logits"], "add_logits"),
        helper.make_node("Softmax", ["logits"], [FRAME_PROBS], "softmax", axis=1),
    ])  # fmt: skip
    quantized = quantize_network(network, make_frames(0))
    makers = {name: node for node in quantized.graph.node for name in node.output}

    def is_in_8_bits(node):
        return makers[node.input[0]].op_type == "DequantizeLinear"

    named = {node.name: node for node in quantized.graph.node}
    inner = ("depthwise", "add", "enlarge", "dense")
    assert all(is_in_8_bits(named[name]) for name in inner)
    assert not any(is_in_8_bits(named[name]) for name in ("grow", "add_logits", "softmax"))
    floats = {named[name].input[1] for name in ("last_of_large", "last_of_small")}
    assert floats == {"w4"}
