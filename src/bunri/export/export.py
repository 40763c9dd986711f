"""Export: a bundle with one ONNX file, written only if it keeps the bounds of parity."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from onnx import ModelProto

from bunri.core.contracts import FloatArray, ImageArray, MaskArray
from bunri.core.errors import InputError, ModelError
from bunri.core.files import is_file, write_json, write_text
from bunri.core.progress import Progress, show_nothing
from bunri.export.graph import build_graph
from bunri.export.network import trace_network
from bunri.export.parity import ParityReport, list_variants, measure_parity
from bunri.export.quantize import MAX_PHOTOS, MIN_PHOTOS, quantize_network
from bunri.labels.overlap import draw_mask
from bunri.labels.photos import check_photo_headers, read_photo_as_labelled
from bunri.labels.records import LabelledSet
from bunri.labels.rules import OverlapRule
from bunri.model.bundle import ONNX_NAME, WEIGHTS_NAME, write_bundle
from bunri.model.card import NAME_KEY
from bunri.model.info import BundleInfo
from bunri.model.lookup import PARAMETERS_KEY, StoredModel
from bunri.predict.backends.torch_backend import TorchBackend
from bunri.scenes import render_scene
from bunri.scores.confusion import stack_matrices
from bunri.scores.intervals import bootstrap_scores
from bunri.scores.metrics import compute_scores
from bunri.training.networks.build import load_network

PARITY_JSON = "parity.json"
PARITY_TEXT = "parity.md"
_NUM_SCENES = 6
"""Number of rendered photos to compare on where no data set is named."""


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """A model and the choices for its export.

    Attributes:
        model: Model with torch weights.
        calibration: Photos that int8 is fitted to; None for float32.
        val: Labelled photos to measure on; None for those of the calibration, or rendered ones.
        rule: Overlap rule by which masks of ``val`` are drawn.
        has_probs: Add an output of probabilities to the graph.
        frame_px: Longer side of a photo in the network's frame; None for the model's own.
        notes: Markdown for the model card; see :func:`bunri.model.card.describe_model`.
    """

    model: StoredModel
    calibration: LabelledSet | None = None
    val: LabelledSet | None = None
    rule: OverlapRule = "largest-first"
    has_probs: bool = False
    frame_px: int | None = None
    notes: str = ""


def check_request(request: ExportRequest) -> None:
    """Raise an error for a request that cannot be exported, before any work is done.

    Raises:
        ModelError: The model has no torch weights.
        InputError: There are too few photos to calibrate with.
        ImageError: A photo cannot be used.
    """
    model = request.model
    if not is_file(model.place / WEIGHTS_NAME):
        raise ModelError(
            f"{model.name} is ONNX already, without the torch weights that an export needs.",
            hint="Export the run or the bundle that it was made from.",
        )
    calibration = request.calibration
    if calibration is not None and len(calibration.photos) < MIN_PHOTOS:
        raise InputError(
            f"{calibration.source} has {len(calibration.photos)} photo(s); int8 is fitted to at "
            f"least {MIN_PHOTOS}.",
            hint="Calibrate with the photos the model was trained on.",
        )
    for dataset in filter(None, (calibration, request.val)):
        check_photo_headers(dataset)


def export_model(
    request: ExportRequest, folder: Path, progress: Progress = show_nothing
) -> ParityReport:
    """Write a bundle with an ONNX file, and the parity report beside it.

    Nothing is written if a bound of parity is missed: see the report's ``faults``.

    Args:
        request: Request accepted by :func:`check_request`.
        folder: Bundle folder to write.
        progress: Display of the steps done.

    Raises:
        ModelError: The network cannot be written as ONNX, or an engine cannot run it.
        OutputError: The folder cannot be written.
    """
    model = request.model
    info = _describe_export(request, folder.name)
    with progress("Writing the network as ONNX", 1) as advance:
        network = load_network(model.place, info)
        traced = trace_network(network, str(info.architecture.get("name")))
        advance()
    f32 = build_graph(traced, info, "f32", has_probs=request.has_probs)
    int8 = None
    if request.calibration is not None:
        frames = _load_frames(request.calibration, info, progress)
        with progress("Fitting int8 to the photos", 1) as advance:
            quantized = quantize_network(traced, frames)
            advance()
        int8 = build_graph(quantized, info, "int8", has_probs=request.has_probs)
    report = _measure(request, info, f32, int8, progress)
    if report.faults:
        return report
    precision = "f32" if int8 is None else "int8"
    info = _describe_scores(info, request, report, precision)
    graph = build_graph(
        traced if int8 is None else quantized, info, precision, has_probs=request.has_probs
    )
    weights = (model.place / WEIGHTS_NAME).read_bytes() if int8 is None else None
    write_bundle(folder, info, weights, graph.SerializeToString(), request.notes)
    write_json(folder / PARITY_JSON, {"file": ONNX_NAME, **report.to_json()})
    write_text(folder / PARITY_TEXT, report.to_markdown())
    return report


def _describe_export(request: ExportRequest, name: str) -> BundleInfo:
    """Return the info of the file to write: a name, the number of parameters and the frame.

    Scores of another frame or of float32 do not hold for it and are left out.
    """
    model = request.model
    info = model.info
    size_px = request.frame_px or info.preprocessing.size_px
    if size_px != info.preprocessing.size_px or request.calibration is not None:
        preprocessing = replace(info.preprocessing, size_px=size_px)
        info = replace(info, preprocessing=preprocessing, scores={})
    training = {NAME_KEY: name, **info.training, PARAMETERS_KEY: model.num_parameters}
    return replace(info, training=training, weights_sha256="", onnx_sha256="")


def _load_frames(dataset: LabelledSet, info: BundleInfo, progress: Progress) -> list[FloatArray]:
    """Return network frames of photos spread evenly over a set."""
    count = min(MAX_PHOTOS, len(dataset.photos))
    chosen = [dataset.photos[place * len(dataset.photos) // count] for place in range(count)]
    frames = []
    with progress("Reading photos to calibrate with", count) as advance:
        for photo in chosen:
            image = read_photo_as_labelled(dataset, photo)
            frames.append(info.preprocessing.prepare(image).pixels)
            advance()
    return frames


def _measure(
    request: ExportRequest,
    info: BundleInfo,
    f32: ModelProto,
    int8: ModelProto | None,
    progress: Progress,
) -> ParityReport:
    variants = list_variants(info, TorchBackend(request.model.place, info), f32, int8)
    dataset = request.val or request.calibration
    if dataset is None:
        source, total = "rendered scenes", _NUM_SCENES
        photos: Iterator[tuple[ImageArray, MaskArray | None]] = _render_photos()
    else:
        source, total = dataset.source.name, len(dataset.photos)
        photos = _load_photos(dataset, request.rule if request.val is not None else None)
    with progress("Comparing with torch", total) as advance:
        return measure_parity(variants, photos, len(info.table), source, advance)


def _load_photos(
    dataset: LabelledSet, rule: OverlapRule | None
) -> Iterator[tuple[ImageArray, MaskArray | None]]:
    """Yield photos with their true masks, or with None where no rule is given."""
    for photo in dataset.photos:
        truth = None if rule is None else draw_mask(dataset, photo, rule)
        yield read_photo_as_labelled(dataset, photo), truth


def _render_photos() -> Iterator[tuple[ImageArray, None]]:
    for seed in range(_NUM_SCENES):
        yield render_scene(seed).image, None


def _describe_scores(
    info: BundleInfo, request: ExportRequest, report: ParityReport, precision: str
) -> BundleInfo:
    """Return the info with the scores of the file that is written."""
    if request.val is None:
        return info
    place = next(
        place
        for place, row in enumerate(report.rows)
        if (row.name, row.precision) == ("ONNX Runtime", precision)
    )
    matrices = stack_matrices(report.matrices[place], len(info.table))
    names = info.table.names
    intervals = bootstrap_scores(matrices).to_json(names)
    validated = f"{request.val.source.name} ({len(request.val.photos)} photos)"
    return replace(
        info,
        scores={**compute_scores(matrices).to_json(names), "intervals": intervals},
        training={**info.training, "validated on": validated},
    )
