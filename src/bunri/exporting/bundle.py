"""Export of a model into a new bundle folder, written only if it keeps the bounds of parity."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bunri.core.contracts import FloatArray, ImageArray, MaskArray
from bunri.core.errors import InputError, ModelError, OutputError
from bunri.core.files import check_writable, is_file, write_json, write_text
from bunri.core.progress import Progress, show_nothing
from bunri.exporting.graph import build_graph
from bunri.exporting.network import trace_network
from bunri.exporting.parity import ParityReport, Precision, list_variants, measure_parity
from bunri.exporting.quantize import MAX_PHOTOS, MIN_PHOTOS, quantize_network
from bunri.labels.coco import require_labels, require_photos
from bunri.labels.overlap import draw_mask
from bunri.labels.photos import check_photo_headers, read_photo_as_labelled
from bunri.labels.records import LabelledSet
from bunri.labels.rules import OverlapRule
from bunri.labels.sources import Data, open_labels
from bunri.labels.truth import check_truth, check_unseen
from bunri.model.bundle import INFO_NAME, ONNX_NAME, WEIGHTS_NAME, write_bundle
from bunri.model.card import NAME_KEY
from bunri.model.info import BundleInfo
from bunri.model.lookup import PARAMETERS_KEY, StoredModel, open_model
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

_Photos = Iterator[tuple[ImageArray, MaskArray | None]]


@dataclass(frozen=True, slots=True)
class Export:
    """Outcome of an export.

    Attributes:
        report: Comparison with torch; nothing was written if its ``faults`` are not empty.
        warnings: Reasons to doubt the scores in it, one sentence each.
    """

    report: ParityReport
    warnings: tuple[str, ...]


def export_bundle(
    model: str | Path,
    folder: Path,
    *,
    calibration: Data | None = None,
    val: Data | None = None,
    images: Path | None = None,
    overlap_rule: OverlapRule = "largest-first",
    has_probs: bool = False,
    frame_px: int | None = None,
    notes: str = "",
    allow_pseudo: bool = False,
    allow_trained: bool = False,
    progress: Progress = show_nothing,
) -> Export:
    """Write a trained model as one ONNX file, from photo to classes, in a bundle folder.

    Nothing is written if the file is not as good as promised; see ``faults`` of the report.

    Args:
        model: Run or bundle folder with torch weights.
        folder: Folder of the new bundle; must not exist.
        calibration: COCO file of at least 16 photos that int8 is fitted to; None for float32.
        val: COCO file with labels to compare and to score on; None for rendered photos.
        images: Folder of the photos of both files; None for the folder of each file.
        overlap_rule: Rule by which the masks of ``val`` are drawn.
        has_probs: Let the graph also give probabilities, at the photo's size.
        frame_px: Longer side of a photo in the network's frame; None for the model's own.
        notes: Markdown for the model card: intended use, weaknesses, thanks.
        allow_pseudo: Accept pseudo-labels in ``val`` as if they were true.
        allow_trained: Accept photos in ``val`` that the model was trained on.
        progress: Display of progress.

    Raises AnnotationError, InputError, ModelError, OutputError.
    """
    if folder.exists() or folder.is_symlink():
        raise OutputError(f"{folder} exists already.", hint="Choose another folder with --out.")
    check_writable(folder / INFO_NAME)
    stored = open_model(str(model))
    fitted = measured = None
    if calibration is not None:
        fitted = require_photos(open_labels(calibration, images, stored.info.table))
    if val is not None:
        measured = open_labels(val, images, stored.info.table)
    _check_parts(stored, fitted, measured)
    warnings = []
    if measured is not None:
        require_photos(require_labels(measured))
        warnings += check_truth(measured, allow_pseudo=allow_pseudo)
        warnings += check_unseen(
            stored.info.photo_hashes, stored.name, measured,
            allow_trained=allow_trained, progress=progress,
        )  # fmt: skip
    info = _describe_export(stored, folder.name, frame_px, is_int8=fitted is not None)
    with progress("Writing the network as ONNX", 1) as advance:
        architecture = str(info.architecture.get("name"))
        traced = trace_network(load_network(stored.place, info), architecture)
        advance()
    f32, int8, quantized = build_graph(traced, info, "f32", has_probs=has_probs), None, traced
    if fitted is not None:
        frames = _load_frames(fitted, info, progress)
        with progress("Fitting int8 to the photos", 1) as advance:
            quantized = quantize_network(traced, frames)
            advance()
        int8 = build_graph(quantized, info, "int8", has_probs=has_probs)
    variants = list_variants(info, TorchBackend(stored.place, info), f32, int8)
    dataset, photos = measured or fitted, _render_photos()
    source, total = "rendered scenes", _NUM_SCENES
    if dataset is not None:
        source, total = dataset.source.name, len(dataset.photos)
        photos = _load_photos(dataset, overlap_rule if measured is not None else None)
    with progress("Comparing with torch", total) as advance:
        report = measure_parity(variants, photos, len(info.table), source, advance)
    if not report.faults:
        precision: Precision = "f32" if int8 is None else "int8"
        info = _describe_scores(info, measured, report, precision)
        graph = build_graph(quantized, info, precision, has_probs=has_probs)
        weights = (stored.place / WEIGHTS_NAME).read_bytes() if int8 is None else None
        write_bundle(folder, info, weights, graph.SerializeToString(), notes)
        write_json(folder / PARITY_JSON, {"file": ONNX_NAME, **report.to_json()})
        write_text(folder / PARITY_TEXT, report.to_markdown())
    return Export(report, tuple(warnings))


def _check_parts(
    model: StoredModel, calibration: LabelledSet | None, val: LabelledSet | None
) -> None:
    """Raise an error for an export that is not possible, before any work is done."""
    if not is_file(model.place / WEIGHTS_NAME):
        raise ModelError(
            f"{model.name} is ONNX already, without the torch weights that an export needs.",
            hint="Export the run or the bundle that it was made from.",
        )
    if calibration is not None and len(calibration.photos) < MIN_PHOTOS:
        raise InputError(
            f"{calibration.source} has {len(calibration.photos)} photo(s); int8 is fitted to at "
            f"least {MIN_PHOTOS}.",
            hint="Calibrate with the photos the model was trained on.",
        )
    for dataset in filter(None, (calibration, val)):
        check_photo_headers(dataset)


def _describe_export(
    model: StoredModel, name: str, frame_px: int | None, *, is_int8: bool
) -> BundleInfo:
    """Return the info of the file to write: a name, the number of parameters and the frame.

    Scores of another frame or of float32 do not hold for it and are left out.
    """
    info = model.info
    size_px = frame_px or info.preprocessing.size_px
    if size_px != info.preprocessing.size_px or is_int8:
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


def _load_photos(dataset: LabelledSet, rule: OverlapRule | None) -> _Photos:
    """Yield photos with their true masks, or with None where no rule is given."""
    for photo in dataset.photos:
        truth = None if rule is None else draw_mask(dataset, photo, rule)
        yield read_photo_as_labelled(dataset, photo), truth


def _render_photos() -> _Photos:
    return ((render_scene(seed).image, None) for seed in range(_NUM_SCENES))


def _describe_scores(
    info: BundleInfo, val: LabelledSet | None, report: ParityReport, precision: Precision
) -> BundleInfo:
    """Return the info with the scores of the file that is written."""
    if val is None:
        return info
    kinds = [(row.name, row.precision) for row in report.rows]
    place = kinds.index(("ONNX Runtime", precision))
    matrices = stack_matrices(report.matrices[place], len(info.table))
    names = info.table.names
    intervals = bootstrap_scores(matrices).to_json(names)
    validated = f"{val.source.name} ({len(val.photos)} photos)"
    return replace(
        info,
        scores={**compute_scores(matrices).to_json(names), "intervals": intervals},
        training={**info.training, "validated on": validated},
    )
