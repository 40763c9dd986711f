"""Parity of an exported model with its torch network: equal pixels, mIoU, latency, and the bounds.

Everything is compared with torch in float32, from the same photos, at their own size: the network
behind bunri's predictor in each engine, and the whole graph as other programs run it.
"""

import importlib.util
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import onnxruntime
import torch
from onnx import ModelProto

from bunri.core.contracts import ImageArray, MaskArray
from bunri.core.errors import ModelError, summarize
from bunri.core.progress import Advance
from bunri.model.info import BundleInfo
from bunri.model.onnx_file import CLASSES, PHOTOS, cut_network
from bunri.predict.backends.engines import Backend
from bunri.predict.backends.onnx_backend import OnnxBackend
from bunri.predict.predictor import Predictor
from bunri.scores.confusion import ClassCounts, Matrix, count_confusion, stack_matrices

Precision = Literal["f32", "bf16", "int8"]
Predict = Callable[[ImageArray], MaskArray]

MIN_EQUAL_F32 = 0.999
"""Least share of pixels with torch's class for float32."""
MAX_MIOU_LOSS = 0.005
"""Largest loss of mIoU against torch for int8, where labels are known."""
MIN_EQUAL_INT8 = 0.97
"""Least share of pixels with torch's class for int8, where labels are not known."""
TIMED_HW = (512, 512)
NUM_THREADS = 2
_NUM_ROUNDS = 9


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to run the model.

    Attributes:
        predict: Function from a photo, uint8 (H, W, 3), to its mask.
    """

    name: str
    precision: Precision
    predict: Predict
    is_shipped: bool = True


@dataclass(frozen=True, slots=True)
class Parity:
    """Measurements of one variant.

    Attributes:
        equal: Share of all pixels with torch's class, 0 to 1.
        miou: Global mIoU; None without labels.
        latency_ms: Median from a photo of ``TIMED_HW`` to its mask, on ``NUM_THREADS`` threads.
    """

    name: str
    precision: Precision
    equal: float
    miou: float | None
    latency_ms: float
    fault: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the measurements as plain values."""
        row = {**asdict(self), "latency_ms": round(self.latency_ms, 2)}
        return {"equal_pixels" if key == "equal" else key: value for key, value in row.items()}


@dataclass(frozen=True, slots=True)
class ParityReport:
    """Measurements of all variants, torch first.

    Attributes:
        matrices: Confusion matrices of the photos by variant, int64 (N, C, C); empty without
            labels.
    """

    photos: str
    num_photos: int
    rows: tuple[Parity, ...]
    matrices: tuple[Sequence[Matrix], ...]

    @property
    def faults(self) -> tuple[str, ...]:
        """All missed bounds; empty if the file may be written."""
        return tuple(row.fault for row in self.rows if row.fault)

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return {
            "photos": self.photos,
            "num_photos": self.num_photos,
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
            "versions": {"torch": torch.__version__, "onnxruntime": onnxruntime.__version__},
            "bounds": {
                "f32_equal_pixels": MIN_EQUAL_F32,
                "int8_miou_loss": MAX_MIOU_LOSS,
                "int8_equal_pixels": MIN_EQUAL_INT8,
            },
            "latency": f"{TIMED_HW[1]}x{TIMED_HW[0]} photo to mask, {NUM_THREADS} threads, median",
            "rows": [row.to_json() for row in self.rows],
        }

    def to_markdown(self) -> str:
        """Return the report as a Markdown table."""
        lines = [
            "# Parity",
            "",
            f"Against torch in float32 on {self.num_photos} photos ({self.photos}).",
            f"Latency: {TIMED_HW[1]}x{TIMED_HW[0]} to its mask on {NUM_THREADS} threads, median.",
            "",
            "| run by | numbers | equal pixels | mIoU | latency |",
            "|---|---|---|---|---|",
        ]
        for row in self.rows:
            miou = "no labels" if row.miou is None else f"{row.miou:.4f}"
            lines.append(
                f"| {row.name} | {row.precision} | {100 * row.equal:.3f} % | {miou} "
                f"| {row.latency_ms:.0f} ms |"
            )
        return "\n".join([*lines, ""])


def list_variants(
    info: BundleInfo, torch_backend: Backend, f32: ModelProto, int8: ModelProto | None
) -> list[Variant]:
    """Return every way to run a model on this machine, torch first.

    Args:
        info: Description of the model.
        torch_backend: The network in torch, which the others are compared with.
        f32: Whole graph in float32.
        int8: Whole graph in int8 if that is to be written, else None.
    """

    def through(backend: Backend) -> Predict:
        return Predictor(info, backend).predict_mask

    found = [Variant("torch", "f32", through(torch_backend), is_shipped=False)]
    graphs: list[tuple[ModelProto, tuple[Precision, ...]]] = [(f32, ("f32", "bf16"))]
    if int8 is not None:
        graphs.append((int8, ("int8",)))
    has_openvino = importlib.util.find_spec("openvino") is not None
    for graph, precisions in graphs:
        first, is_shipped = precisions[0], int8 is None or graph is int8
        network = cut_network(graph)
        runtime = OnnxBackend(network, NUM_THREADS)
        found.append(Variant("ONNX Runtime", first, through(runtime), is_shipped))
        whole = _open_whole_graph(graph)
        found.append(Variant("ONNX Runtime, whole graph", first, whole, is_shipped))
        for precision in precisions if has_openvino else ():
            from bunri.predict.backends.openvino_backend import OpenVinoBackend

            hint = "bf16" if precision == "bf16" else None
            backend = OpenVinoBackend(network, NUM_THREADS, hint)
            shipped = is_shipped and precision != "bf16"  # bunri itself never runs bf16
            found.append(Variant("OpenVINO", precision, through(backend), shipped))
    return found


def _open_whole_graph(graph: ModelProto) -> Predict:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = NUM_THREADS
    try:
        session = onnxruntime.InferenceSession(
            graph.SerializeToString(), options, ["CPUExecutionProvider"]
        )
    except Exception as error:  # its own errors have no common base
        raise ModelError(f"ONNX Runtime cannot run the graph: {summarize(error)}.") from error

    def predict(image: ImageArray) -> MaskArray:
        mask: MaskArray = session.run([CLASSES], {PHOTOS: image[None]})[0][0]
        return mask

    return predict


def measure_parity(
    variants: Sequence[Variant],
    photos: Iterable[tuple[ImageArray, MaskArray | None]],
    num_classes: int,
    source: str,
    advance: Advance,
) -> ParityReport:
    """Compare all variants with the first, and time them.

    Args:
        variants: Ways to run the model; the first is the reference.
        photos: Pairs of a photo, uint8 (H, W, 3), and its true mask, uint8 (H, W); all masks are
            None where labels are not known.
        num_classes: Number of classes, background included.
        source: Name of the photos in the report.
        advance: Function to call after each photo.
    """
    equal = [0] * len(variants)
    matrices: list[list[Matrix]] = [[] for _ in variants]
    num_pixels = num_photos = 0
    image: ImageArray | None = None
    for image, truth in photos:
        masks = [_run(variant, image) for variant in variants]
        for place, mask in enumerate(masks):
            equal[place] += int((mask == masks[0]).sum())
            if truth is not None:
                matrices[place].append(count_confusion(truth, mask, num_classes))
        num_pixels += masks[0].size
        num_photos += 1
        advance()
    times_ms = _time_variants(variants)
    rows: list[Parity] = []
    for place, variant in enumerate(variants):
        miou = None
        if matrices[place]:
            miou = float(ClassCounts.of(stack_matrices(matrices[place], num_classes).sum(0)).miou)
        row = Parity(
            variant.name, variant.precision, equal[place] / num_pixels, miou, times_ms[place]
        )
        fault = _find_fault(row, rows[0].miou if rows else None) if variant.is_shipped else ""
        rows.append(replace(row, fault=fault))
    return ParityReport(source, num_photos, tuple(rows), tuple(matrices))


def _run(variant: Variant, image: ImageArray) -> MaskArray:
    try:
        return variant.predict(image)
    except ModelError:
        raise
    except Exception as error:  # engines' own errors have no common base
        raise ModelError(
            f"{variant.name} cannot run the {variant.precision} graph: {summarize(error)}."
        ) from error


def _find_fault(row: Parity, torch_miou: float | None) -> str:
    """Return the description of the bound that a variant misses; empty if it keeps its own."""
    where = f"{row.name} {row.precision}"
    if row.precision == "int8" and row.miou is not None and torch_miou is not None:
        loss = torch_miou - row.miou
        if loss > MAX_MIOU_LOSS:
            return (
                f"{where}: mIoU {row.miou:.4f} where torch has {torch_miou:.4f}: "
                f"{100 * loss:.2f} points lost, {100 * MAX_MIOU_LOSS:g} are allowed"
            )
        return ""
    least = MIN_EQUAL_INT8 if row.precision == "int8" else MIN_EQUAL_F32
    if row.equal < least:
        return (
            f"{where}: {100 * row.equal:.3f} % of pixels have torch's class, "
            f"at least {100 * least:g} % must"
        )
    return ""


def _time_variants(variants: Sequence[Variant]) -> list[float]:
    """Return each median in ms; variants take turns, so that other load slows all of them."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*TIMED_HW, 3), np.uint8)
    times_s: list[list[float]] = [[] for _ in variants]
    threads = torch.get_num_threads()
    torch.set_num_threads(NUM_THREADS)
    try:
        for number in range(1 + _NUM_ROUNDS):
            for variant, taken in zip(variants, times_s, strict=True):
                started = time.perf_counter()
                _run(variant, image)
                if number:  # the first sets memory up
                    taken.append(time.perf_counter() - started)
    finally:
        torch.set_num_threads(threads)
    return [1000 * statistics.median(taken) for taken in times_s]
