"""The torch network as a small ONNX graph for frames of any size."""

import functools
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import onnx
import torch
import torch.nn.functional as F  # noqa: N812 (torch's own name for it)
from segmentation_models_pytorch import FPN
from segmentation_models_pytorch.decoders.fpn.decoder import FPNDecoder, SegmentationBlock
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn

from bunri.core.errors import ModelError, summarize
from bunri.exporting.graph import IR_VERSION, OPSET
from bunri.images.frames import STRIDE_PX
from bunri.model.onnx_file import FRAME, FRAME_PROBS
from bunri.predict.backends.onnx_backend import OnnxBackend

_MAX_DIFFERENCE = 1e-3
_RULE = "Networks made of convolutions can be, such as fpn, unet and deeplabv3plus."


class _EvenConv2d(nn.Conv2d):
    """A convolution that pads as TensorFlow does, on features that its stride divides.

    All features of a frame are such, and then the padding does not depend on their size. Computing
    it from the size takes thirty nodes a layer and minutes of tracing.
    """

    def forward(self, features: Tensor) -> Tensor:  # (N, C, h, w)
        pads: list[int] = []
        for size, stride, dilation in zip(
            self.kernel_size[::-1], self.stride[::-1], self.dilation[::-1], strict=True
        ):
            total = max(0, (size - 1) * dilation + 1 - stride)
            pads += [total // 2, total - total // 2]
        return F.conv2d(
            F.pad(features, pads), self.weight, self.bias, self.stride, 0, self.dilation,
            self.groups,
        )  # fmt: skip


class _ClassifyingDecoder(FPNDecoder):  # type: ignore[misc]
    """Decoder of an FPN that classifies each level of its pyramid before it enlarges and adds.

    The original enlarges and adds features, five times as many, and classifies then. Bilinear
    weights sum to 1 and a 1x1 convolution sees one pixel, so the order does not matter.
    """

    def forward(self, features: list[Tensor]) -> Tensor:  # (N, C, h, w) each, coarser each time
        *finer, coarsest = features[-4:]
        levels = [self.p5(coarsest)]
        for block, skip in zip((self.p4, self.p3, self.p2), reversed(finer), strict=True):
            levels.append(block(levels[-1], skip))
        logits = [
            self._classify(block, level)
            for block, level in zip(self.seg_blocks, levels, strict=True)
        ]
        total: Tensor = functools.reduce(torch.add, logits) + self.classifier.bias[:, None, None]
        return total

    def _classify(self, block: SegmentationBlock, level: Tensor) -> Tensor:
        *inner, last = block.block
        for layer in inner:
            level = layer(level)
        logits = F.conv2d(last.block(level), self.classifier.weight)
        if last.upsample:
            logits = F.interpolate(logits, scale_factor=2.0, mode="bilinear", align_corners=True)
        return logits


def _classify_early(network: FPN) -> None:
    """Replace an FPN's decoder and head by a :class:`_ClassifyingDecoder`."""
    classifier = network.segmentation_head[0]
    network.decoder.__class__ = _ClassifyingDecoder
    network.decoder.classifier = classifier
    network.segmentation_head[0] = nn.Identity()


class _WithProbs(nn.Module):
    """A network that returns probabilities, float32 (N, C, h, w).

    The softmax is written out: over the second axis ONNX Runtime's own takes four times as long.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._network = network

    def forward(self, frame: Tensor) -> Tensor:
        logits = self._network(frame)
        powers: Tensor = (logits - logits.amax(1, keepdim=True)).exp()
        return powers / powers.sum(1, keepdim=True)


def trace_network(network: nn.Module, name: str) -> onnx.ModelProto:
    """Return a network as ONNX, for any number of frames of any size that ``STRIDE_PX`` divides."""
    for module in network.modules():
        if type(module) is Conv2dSame:
            module.__class__ = _EvenConv2d  # type: ignore[assignment]
    if isinstance(network, FPN):
        _classify_early(network)
    # Different sizes, so that none is taken for another; none shrinks to a single pixel.
    frame = torch.zeros(2, 3, 6 * STRIDE_PX, 8 * STRIDE_PX)
    size = torch.export.Dim
    any_size = {0: size("n"), 2: STRIDE_PX * size("h"), 3: STRIDE_PX * size("w")}
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                _WithProbs(network).eval(),
                (frame,),
                dynamo=True,
                dynamic_shapes=(any_size,),
                input_names=[FRAME],
                output_names=[FRAME_PROBS],
                opset_version=OPSET,
                optimize=True,
                verbose=False,
            )
    except Exception as error:  # torch's exporter fails in many ways
        raise ModelError(
            f"The network {name} cannot be written as ONNX: {summarize(error)}.", hint=_RULE
        ) from error
    if program is None:
        raise ModelError(f"The network {name} cannot be written as ONNX.", hint=_RULE)
    model = _strip(program.model_proto)
    _check_sizes(model, network, name)
    return model


def _check_sizes(model: onnx.ModelProto, network: nn.Module, name: str) -> None:
    """Raise an error if a graph fails, or differs from torch, at a size other than the traced."""
    backend = OnnxBackend(model.SerializeToString(), num_threads=1)
    frame = torch.linspace(-1, 1, 3 * 3 * 5 * STRIDE_PX**2).view(3, 3 * STRIDE_PX, 5 * STRIDE_PX)
    try:
        found = backend.predict_probs(frame.numpy())
    except Exception as error:  # ONNX Runtime's own errors have no common base
        raise ModelError(
            f"The network {name} cannot be written as ONNX for frames of any size: "
            f"{summarize(error)}.",
            hint=_RULE,
        ) from error
    with torch.inference_mode():
        expected = network(frame[None]).softmax(1)[0].numpy()
    difference = float(np.abs(found - expected).max())
    if not difference < _MAX_DIFFERENCE:
        raise ModelError(
            f"The network {name} computes something else as ONNX: probabilities differ by up to "
            f"{difference:.2g}.",
            hint=_RULE,
        )


def _strip(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a graph without traces of the machine that wrote it, and with short names."""
    graph = model.graph
    inner = {name for node in graph.node for name in node.output} - {FRAME_PROBS, ""}
    short = {name: f"n{number}" for number, name in enumerate(sorted(inner))}
    short |= {tensor.name: f"w{number}" for number, tensor in enumerate(graph.initializer)}
    nodes = []
    for number, node in enumerate(graph.node):
        inputs = [short.get(name, name) for name in node.input]
        outputs = [short.get(name, name) for name in node.output]
        plain = onnx.helper.make_node(
            node.op_type, inputs, outputs, f"{number}_{node.op_type}", domain=node.domain
        )
        plain.attribute.extend(node.attribute)
        nodes.append(plain)
    weights = []
    for tensor in graph.initializer:
        plain_tensor = onnx.TensorProto()
        plain_tensor.CopyFrom(tensor)
        plain_tensor.name = short[tensor.name]
        plain_tensor.ClearField("doc_string")
        weights.append(plain_tensor)
    declare = functools.partial(
        onnx.helper.make_tensor_value_info, elem_type=onnx.TensorProto.FLOAT
    )
    frame = declare(FRAME, shape=["n", 3, "h", "w"])
    probs = declare(FRAME_PROBS, shape=["n", "classes", "h", "w"])
    stripped = onnx.helper.make_graph(nodes, "network", [frame], [probs], weights)
    opsets = [onnx.helper.make_opsetid("", OPSET)]
    return onnx.helper.make_model(stripped, opset_imports=opsets, ir_version=IR_VERSION)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the warnings and logs of torch's exporter until the block ends."""
    loggers = [
        logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")
    ]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
