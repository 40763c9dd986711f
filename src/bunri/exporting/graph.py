"""One ONNX graph from photos to classes: the network, with the steps of ``images`` around it.

The resize rule, the normalisation and the way back are written in ONNX's own operators. ``images``
stays the definition: a test compares both.

Operators are chosen so that every engine gives the same. ``Resize`` with antialiasing is not among
them: of two engines one computes something else when shrinking, and one ignores it. Shrinking is
therefore a product with a matrix of the triangle filter, whose weights are whole numbers until they
are divided by their sum: the same in each engine. Growing needs no antialiasing.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from bunri.images.frames import STRIDE_PX, Preprocessing
from bunri.model.info import BundleInfo
from bunri.model.onnx_file import CLASSES, FRAME, FRAME_PROBS, PHOTOS, PROBS, make_metadata

OPSET = 18
IR_VERSION = 9  # of the ONNX format; old enough for runtimes of 2023


class _Writer:
    """Collects nodes and constants of a graph under unique names."""

    def __init__(self, prefix: str) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self._prefix = prefix

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:  # noqa: ANN401
        """Add a node; return the name of its output."""
        name = output or f"{self._prefix}_{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def keep(self, value: npt.ArrayLike, dtype: npt.DTypeLike) -> str:
        """Add a constant; return its name."""
        name = f"{self._prefix}_constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name


def build_graph(
    network: ModelProto, info: BundleInfo, precision: str, *, has_probs: bool = False
) -> ModelProto:
    """Return the graph from photos to classes, with its metadata.

    Args:
        network: Graph from ``FRAME`` to ``FRAME_PROBS``.
        info: Description of the model.
        precision: ``f32`` or ``int8``; written into the metadata.
        has_probs: Also give probabilities at the size of the photo.
    """
    before, after = _Writer("before"), _Writer("after")
    photo_hw, content_hw = _add_preparation(before, info.preprocessing)
    _add_restoration(after, photo_hw, content_hw, has_probs=has_probs)
    outputs = [_declare(CLASSES, TensorProto.UINT8, ["n", "height", "width"])]
    if has_probs:
        shape: list[str | int] = ["n", len(info.table), "height", "width"]
        outputs.append(_declare(PROBS, TensorProto.FLOAT, shape))
    graph = helper.make_graph(
        [*before.nodes, *network.graph.node, *after.nodes],
        "bunri",
        [_declare(PHOTOS, TensorProto.UINT8, ["n", "height", "width", 3])],
        outputs,
        [*before.constants, *network.graph.initializer, *after.constants],
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="bunri",
    )
    helper.set_model_props(model, make_metadata(info, precision))
    return model


def _declare(name: str, kind: int, shape: Sequence[str | int]) -> Any:  # noqa: ANN401 (ValueInfoProto)
    return helper.make_tensor_value_info(name, kind, shape)


def _add_preparation(writer: _Writer, preprocessing: Preprocessing) -> tuple[str, str]:
    """Add :meth:`Preprocessing.prepare`, from ``PHOTOS`` to ``FRAME``.

    Returns the names of the photo's height and width, and of those of its content in the frame.
    """
    photo_hw = writer.add("Shape", PHOTOS, start=1, end=3)
    content_hw = _add_fitted_size(writer, photo_hw, preprocessing.size_px)
    planes = writer.add("Transpose", PHOTOS, perm=[0, 3, 1, 2])
    planes = writer.add("Cast", planes, to=TensorProto.FLOAT)
    half = writer.keep(0.5, np.float32)

    def round_half_up(values: str) -> str:  # to 8 bits after each pass, as Pillow does
        return writer.add("Floor", writer.add("Add", values, half))

    content = _add_triangle_resize(writer, planes, photo_hw, content_hw, round_half_up)
    # As in Preprocessing.normalize, operation by operation.
    std = np.asarray(preprocessing.std_rgb, np.float32)
    scale = writer.keep((1.0 / (255.0 * std)).reshape(3, 1, 1), np.float32)
    shift = writer.keep(
        (np.asarray(preprocessing.mean_rgb, np.float32) / std).reshape(3, 1, 1), np.float32
    )
    pixels = writer.add("Sub", writer.add("Mul", content, scale), shift)
    stride = writer.keep([STRIDE_PX], np.int64)
    beyond = writer.keep([STRIDE_PX - 1], np.int64)
    padded_hw = writer.add("Div", writer.add("Add", content_hw, beyond), stride)
    missing_hw = writer.add("Sub", writer.add("Mul", padded_hw, stride), content_hw)
    none = writer.keep([0] * 6, np.int64)
    pads = writer.add("Concat", none, missing_hw, axis=0)
    writer.add("Pad", pixels, pads, output=FRAME)
    return photo_hw, content_hw


def _add_fitted_size(writer: _Writer, size_hw: str, longer_px: int) -> str:
    """Add :func:`bunri.images.frames.fit_size_hw`, which rounds halves to even."""
    longest = writer.add("ReduceMax", size_hw, keepdims=1)
    double = writer.add("Mul", longest, writer.keep([2], np.int64))
    doubled_hw = writer.add("Mul", size_hw, writer.keep([2 * longer_px], np.int64))
    above_hw = writer.add("Add", doubled_hw, longest)
    rounded_hw = writer.add("Div", above_hw, double)  # halves went up
    zero, one, two = (writer.keep([value], np.int64) for value in (0, 1, 2))
    is_half = writer.add("Equal", writer.add("Mod", above_hw, double), zero)
    is_odd = writer.add("Equal", writer.add("Mod", rounded_hw, two), one)
    excess = writer.add("Cast", writer.add("And", is_half, is_odd), to=TensorProto.INT64)
    return writer.add("Max", writer.add("Sub", rounded_hw, excess), one)


def _add_triangle_resize(
    writer: _Writer,
    planes: str,
    from_hw: str,
    to_hw: str,
    finish: Any = lambda name: name,  # noqa: ANN401
) -> str:
    """Add a resize of float planes (N, C, H, W) as Pillow's bilinear: across first, then down.

    Pillow 13 shrinks photos that are more than about twice as tall as wide down first; of these
    a value in four may differ by one of 255, as it does between versions of Pillow. ``finish``
    adds a step after each pass.
    """
    across = _add_triangle_weights(writer, from_hw, to_hw, 1)
    across = writer.add("Transpose", across, perm=[1, 0])
    planes = finish(writer.add("MatMul", planes, across))
    down = _add_triangle_weights(writer, from_hw, to_hw, 0)
    return str(finish(writer.add("MatMul", down, planes)))


def _add_triangle_weights(writer: _Writer, from_hw: str, to_hw: str, axis: int) -> str:
    """Add the matrix (to, from) of a resize along one axis; rows sum to 1.

    Centres of pixels are compared in units in which they, and half the triangle's base, are whole:
    ``(2 x + 1) to`` and ``(2 y + 1) from``, base ``2 max(from, to)``.
    """
    index = writer.keep(axis, np.int64)
    num_from, num_to = (writer.add("Gather", size_hw, index) for size_hw in (from_hw, to_hw))
    zero, one, two = (writer.keep(value, np.int64) for value in (0, 1, 2))

    def add_centers(count: str, unit: str, axes: str) -> str:
        places = writer.add("Range", zero, count, one)
        odd = writer.add("Add", writer.add("Mul", places, two), one)
        return writer.add("Unsqueeze", writer.add("Mul", odd, unit), axes)

    first, second = (writer.keep([value], np.int64) for value in (0, 1))
    sources = add_centers(num_from, num_to, first)
    targets = add_centers(num_to, num_from, second)
    distance = writer.add("Sub", sources, targets)
    distance = writer.add("Abs", writer.add("Cast", distance, to=TensorProto.FLOAT))
    base = writer.add("Mul", writer.add("Max", num_from, num_to), two)
    base = writer.add("Cast", base, to=TensorProto.FLOAT)
    weights = writer.add("Relu", writer.add("Sub", base, distance))
    return writer.add("Div", weights, writer.add("ReduceSum", weights, second, keepdims=1))


def _add_restoration(writer: _Writer, photo_hw: str, content_hw: str, *, has_probs: bool) -> None:
    """Add the way back to the photo, from ``FRAME_PROBS`` to ``CLASSES``."""
    content, content_hw = _add_crop(writer, content_hw)
    shrinks = writer.add("Less", photo_hw, content_hw)
    shrinks = writer.add("Cast", shrinks, to=TensorProto.INT64)
    shrinks = writer.add("ReduceMax", shrinks, keepdims=0)
    shrinks = writer.add("Cast", shrinks, to=TensorProto.BOOL)
    names = [CLASSES, PROBS] if has_probs else [CLASSES]
    shrink, grow = _Writer("shrink"), _Writer("grow")
    shrunk = _add_triangle_resize(shrink, content, content_hw, photo_hw)
    grown = _add_growth(grow, content, photo_hw)
    branches = {
        "then_branch": _write_choice(shrink, shrunk, has_probs=has_probs),
        "else_branch": _write_choice(grow, grown, has_probs=has_probs),
    }
    writer.nodes.append(helper.make_node("If", [shrinks], names, "after_if", **branches))


def _add_crop(writer: _Writer, content_hw: str) -> tuple[str, str]:
    """Add :func:`bunri.images.frames.crop_content` of ``FRAME_PROBS``.

    Returns the names of the planes and of their height and width.
    """
    planes_hw, frame_hw = (
        writer.add("Shape", name, start=2, end=4) for name in (FRAME_PROBS, FRAME)
    )
    stride = writer.add("Div", frame_hw, planes_hw)
    rest = writer.add("ReduceMax", writer.add("Mod", content_hw, stride), keepdims=0)
    is_whole = writer.add("Equal", rest, writer.keep(0, np.int64))
    # Where all cells are whole, planes are resized to the size that they have.
    grown = _add_growth(writer, FRAME_PROBS, writer.add("Where", is_whole, planes_hw, frame_hw))
    cells_hw = writer.add("Div", content_hw, stride)
    kept_hw = writer.add("Where", is_whole, cells_hw, content_hw)
    first, axes = writer.keep([0, 0], np.int64), writer.keep([2, 3], np.int64)
    return writer.add("Slice", grown, first, kept_hw, axes), kept_hw


def _add_growth(writer: _Writer, planes: str, size_hw: str) -> str:
    """Add a bilinear resize of planes (N, C, h, w) to a size that is not smaller."""
    both = writer.add("Shape", planes, start=0, end=2)
    return writer.add(
        "Resize",
        planes,
        "",
        "",
        writer.add("Concat", both, size_hw, axis=0),
        mode="linear",
        coordinate_transformation_mode="half_pixel",
    )


def _write_choice(writer: _Writer, probs: str, *, has_probs: bool) -> GraphProto:
    """Return a branch that ends with the most probable class, the lower index between equals."""
    classes = writer.add("ArgMax", probs, axis=1, keepdims=0)
    classes = writer.add("Cast", classes, to=TensorProto.UINT8)
    outputs = [_declare(classes, TensorProto.UINT8, ["n", "height", "width"])]
    if has_probs:
        outputs.append(_declare(probs, TensorProto.FLOAT, ["n", "classes", "height", "width"]))
    return helper.make_graph(writer.nodes, writer.nodes[0].name, [], outputs, writer.constants)
