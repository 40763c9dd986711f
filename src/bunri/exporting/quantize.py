"""A network in 8-bit integers (static quantisation).

Every convolution but the classifier is quantised, weights per output channel, and with them the
sums and enlargements before them. The choices that matter; benchmarks/results.md has the cost of
each for an FPN on EfficientNet-Lite2:

- Activations are quantised after ReLU and ReLU6, where their range is known, not before.
- Ranges are means over photos of each photo's extremes, so a single photo does not stretch them.
- Weights have 7 bits, since a CPU without VNNI adds two products in 16 bits, which 8 would
  overflow; depthwise convolutions do not add pairs, and keep 8.
- The shift of a channel's mean that rounding the weights causes is subtracted from its bias.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import ModelProto, NodeProto, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

from bunri.core.contracts import FloatArray
from bunri.model.onnx_file import FRAME, collect_nodes

MIN_PHOTOS = 16
"""With fewer, the ranges of activations are uncertain."""
MAX_PHOTOS = 128
"""More take time and memory, and no longer change the ranges."""
_QUANTIZED = ("Conv", "Clip", "Relu", "Resize", "Add")

_Weights = Mapping[str, npt.NDArray[np.float32]]


def quantize_network(network: ModelProto, frames: Sequence[FloatArray]) -> ModelProto:
    """Return a network in int8, as quantise and dequantise nodes (QDQ) around float operators.

    Args:
        network: Graph from ``FRAME`` to ``FRAME_PROBS``, float32; left unchanged.
        frames: Network frames, float32 (3, h, w) each, of photos like those it will predict.
    """
    convolutions = [node for node in network.graph.node if node.op_type == "Conv"]
    classifier = convolutions[-1].input[1]  # its weights: several nodes may share them
    inner = [node for node in convolutions if node.input[1] != classifier]
    needed = collect_nodes(network.graph.node, [node.output[0] for node in inner])
    rest = [node.name for number, node in enumerate(network.graph.node) if number not in needed]
    reduced = [node for node in inner if not _is_depthwise(node)]
    corrected = _correct_biases(network, frames, {node.name: node in reduced for node in inner})
    # Else the quantiser advises, on the root logger, to prepare the graph, which ours do not need.
    add_pre_process_metadata(corrected)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        quantize_static(
            corrected,
            path,
            _Frames(frames),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_QUANTIZED,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=rest,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={
                "CalibMovingAverage": True,
                "TensorQuantOverrides": {node.input[1]: [_REDUCED] for node in reduced},
            },
        )
        return onnx.load(path)


_REDUCED = {"axis": 0, "quant_type": QuantType.QInt8, "symmetric": True, "reduce_range": True}


class _Frames(CalibrationDataReader):  # type: ignore[misc]
    """Frames for the calibration, one by one."""

    def __init__(self, frames: Sequence[FloatArray]) -> None:
        self._rest = ({FRAME: frame[None]} for frame in frames)

    def get_next(self) -> dict[str, FloatArray] | None:
        """Return the next input; None at the end."""
        return next(self._rest, None)


def _is_depthwise(node: NodeProto) -> bool:
    return any(attribute.name == "group" and attribute.i > 1 for attribute in node.attribute)


def _correct_biases(
    network: ModelProto, frames: Sequence[FloatArray], is_reduced: Mapping[str, bool]
) -> ModelProto:
    """Return a network whose biases cancel the mean error of its rounded weights.

    Bias correction of Nagel et al. (2019), section 4.2, with measured means of the inputs.
    """
    corrected = ModelProto()
    corrected.CopyFrom(network)
    graph = corrected.graph
    places = {tensor.name: place for place, tensor in enumerate(graph.initializer)}
    nodes = [node for node in graph.node if node.name in is_reduced and node.input[1] in places]
    means = _measure_means(network, frames, [node.input[0] for node in nodes])
    for node in nodes:
        weights = numpy_helper.to_array(graph.initializer[places[node.input[1]]])
        error = _round_weights(weights, 64 if is_reduced[node.name] else 127) - weights
        inputs = means[node.input[0]]
        per_input = error.sum((2, 3))  # (out, in / groups)
        groups = len(inputs) // weights.shape[1]
        own = np.repeat(inputs.reshape(groups, -1), len(weights) // groups, axis=0)
        shift = (per_input * own).sum(1)
        if len(node.input) > 2 and node.input[2] in places:
            bias = numpy_helper.to_array(graph.initializer[places[node.input[2]]])
            name = node.input[2]
        else:
            bias, name = np.zeros(len(weights), np.float32), f"{node.name}_bias"
        fixed = numpy_helper.from_array((bias - shift).astype(np.float32), f"{name}_corrected")
        graph.initializer.append(fixed)
        del node.input[2:]
        node.input.append(fixed.name)
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return corrected


def _round_weights(weights: npt.NDArray[np.float32], limit: int) -> npt.NDArray[np.float32]:
    """Return weights (out, ...) rounded to integers up to ``limit`` times a scale per output."""
    largest = np.abs(weights).reshape(len(weights), -1).max(1).reshape(-1, 1, 1, 1)
    scale = np.where(largest > 0, largest, 1) / limit
    return np.asarray(np.rint(weights / scale) * scale, np.float32)


def _measure_means(
    network: ModelProto, frames: Sequence[FloatArray], names: Sequence[str]
) -> dict[str, npt.NDArray[np.float64]]:
    """Return the mean of each channel of inner tensors (N, C, h, w) over all frames."""
    watched = ModelProto()
    watched.CopyFrom(network)
    names = list(dict.fromkeys(names))
    for name in names:
        watched.graph.node.append(
            onnx.helper.make_node("GlobalAveragePool", [name], [f"{name}_mean"])
        )
        watched.graph.output.append(
            onnx.helper.make_tensor_value_info(f"{name}_mean", onnx.TensorProto.FLOAT, None)
        )
    session = onnxruntime.InferenceSession(
        watched.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    sums: dict[str, Any] = dict.fromkeys(names, 0.0)
    for frame in frames:
        found = session.run([f"{name}_mean" for name in names], {FRAME: frame[None]})
        for name, mean in zip(names, found, strict=True):
            sums[name] = sums[name] + mean.reshape(-1).astype(np.float64)
    return {name: total / len(frames) for name, total in sums.items()}
