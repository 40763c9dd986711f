"""ONNX files that hold a whole model: writing their metadata, reading and checking them.

The graph maps photos to classes, so that it can be used without bunri. Between the tensors
``FRAME`` and ``FRAME_PROBS`` lies the network alone, which bunri cuts out and runs behind its own
preprocessing, augmentation views and tiles.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bunri.core.errors import ModelError, summarize
from bunri.images.frames import STRIDE_PX
from bunri.model.info import BundleInfo, describe_info, parse_info

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

PHOTOS = "photos"
"""Input: photos, uint8 (N, H, W, 3), RGB, upright."""
CLASSES = "classes"
"""Output: indices into the class table, uint8 (N, H, W)."""
PROBS = "probs"
"""Output on request: probabilities, float32 (N, C, H, W)."""
FRAME = "frame"
"""Inner tensor: frames, float32 (N, 3, h, w), see ``bunri.images.frames.Preprocessing.frame``."""
FRAME_PROBS = "frame_probs"
"""Inner tensor: probabilities of the whole frame, float32 (N, C, h, w)."""

MIN_OPSET = 17
MAX_BYTES = 2**31 - 1  # the limit of protobuf
INFO_KEY = "bunri"
_RULE = "bunri runs ONNX files made by bunri export."


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """A checked ONNX file; hashes in ``info`` are empty, since a file cannot hold its own."""

    info: BundleInfo
    model: "ModelProto"


def make_metadata(info: BundleInfo, precision: str) -> dict[str, str]:
    """Return the metadata of an ONNX file whose precision is ``f32`` or ``int8``.

    The key ``bunri`` has the content of ``bunri.json`` without hashes; the rest is for others.
    """
    table = info.table
    values: dict[str, Any] = {
        INFO_KEY: describe_info(replace(info, weights_sha256="", onnx_sha256="")),
        "names_en": table.names,
        "names_ko": [one.name_ko for one in table.classes],
        "colors_rgb": [one.color_rgb for one in table.classes],
        "size_px": info.preprocessing.size_px,
        "stride_px": STRIDE_PX,
        "license": str(info.licenses.get("weights", "")),
        "data_license": str(info.licenses.get("data", "")),
        "precision": precision,
    }
    return {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in values.items()
    }


def read_onnx_file(path: Path) -> OnnxFile:
    """Read an ONNX file; raise ModelError if it is not of bunri or needs more than itself."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        if path.stat().st_size > MAX_BYTES:
            raise ModelError(f"{path} has more than {MAX_BYTES} bytes.", hint=_RULE)
        model = onnx.load_model_from_string(path.read_bytes())
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.") from error
    except (DecodeError, ValueError) as error:
        raise ModelError(f"{path} is not an ONNX file: {summarize(error)}.", hint=_RULE) from error
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    _check_graph(model, path)
    if INFO_KEY not in metadata:
        raise ModelError(
            f"{path} has no key {INFO_KEY!r} in its metadata, which describes the model "
            f"(found: {', '.join(sorted(map(str, metadata))) or 'none'}).",
            hint=_RULE,
        )
    info = parse_info(metadata[INFO_KEY], str(path), _RULE)
    names = {name for node in model.graph.node for name in node.output}
    missing = [name for name in (FRAME, FRAME_PROBS, CLASSES) if name not in names]
    if missing:
        raise ModelError(f"{path} has no tensor {', '.join(missing)}.", hint=_RULE)
    return OnnxFile(info, model)


def _check_graph(model: "ModelProto", path: Path) -> None:
    """Refuse graphs that could read other files or run foreign code."""
    from onnx import TensorProto

    for graph in _list_graphs(model.graph):
        for tensor in _list_tensors(graph):
            if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
                raise ModelError(
                    f"{path} keeps the weights {tensor.name!r} in another file.",
                    hint="Everything must be in one file: export the model again.",
                )
        for node in graph.node:
            if node.domain not in ("", "ai.onnx"):
                raise ModelError(
                    f"{path} needs the custom operator {node.op_type!r} of {node.domain!r}.",
                    hint=_RULE,
                )
    versions = {entry.domain: entry.version for entry in model.opset_import}
    opset = versions.get("", versions.get("ai.onnx", 0))
    if opset < MIN_OPSET:
        raise ModelError(
            f"{path} uses operator set {opset}; at least {MIN_OPSET} is needed.", hint=_RULE
        )


def _list_graphs(graph: "GraphProto") -> "Iterator[GraphProto]":
    """Yield a graph and the subgraphs of its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _list_graphs(attribute.g)
            for inner in attribute.graphs:
                yield from _list_graphs(inner)


def _list_tensors(graph: "GraphProto") -> "Iterator[TensorProto]":
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def cut_network(model: "ModelProto") -> bytes:
    """Return the network alone, from ``FRAME`` to ``FRAME_PROBS``, as an ONNX file."""
    from onnx import TensorProto, helper

    nodes = list(model.graph.node)
    # By number, because comparing nodes compares the weights in them: seconds for a large graph.
    needed = [nodes[number] for number in sorted(collect_nodes(nodes, [FRAME_PROBS]))]
    used = {name for node in needed for name in node.input}
    graph = helper.make_graph(
        needed,
        "network",
        [helper.make_tensor_value_info(FRAME, TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info(FRAME_PROBS, TensorProto.FLOAT, ["n", None, "h", "w"])],
        [tensor for tensor in model.graph.initializer if tensor.name in used],
    )
    cut = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    content: bytes = cut.SerializeToString()
    return content


def collect_nodes(nodes: "Sequence[NodeProto]", names: Iterable[str]) -> set[int]:
    """Return the numbers of the nodes behind ``FRAME`` that tensors are computed by."""
    makers = {name: number for number, node in enumerate(nodes) for name in node.output}
    found: set[int] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        number = makers.get(name)
        if name == FRAME or number is None or number in found:
            continue
        found.add(number)
        waiting += nodes[number].input
    return found
