"""Export of a model into a new bundle folder, with photos from COCO files."""

from dataclasses import dataclass
from pathlib import Path

from bunri.core.errors import OutputError
from bunri.core.files import check_writable
from bunri.core.progress import Progress, show_nothing
from bunri.export.export import ExportRequest, check_request, export_model
from bunri.export.parity import ParityReport
from bunri.labels.coco import require_labels, require_photos
from bunri.labels.opening import Data, open_labels
from bunri.labels.rules import OverlapRule
from bunri.labels.truth import check_truth, check_unseen
from bunri.model.bundle import INFO_NAME
from bunri.model.lookup import open_model


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
        model: Run or bundle with torch weights, as on the command line.
        folder: The new bundle; must not exist.
        calibration: COCO file of at least 16 photos that int8 is fitted to; None for float32.
        val: COCO file with labels to compare and to score on; None for rendered photos.
        images: Folder of the photos of both files; None for the folder of each file.
        overlap_rule: Rule that decides which of several objects a pixel belongs to.
        has_probs: Let the graph also give probabilities, at the photo's size.
        frame_px: Longer side of a photo in the network's frame; None for the model's own.
        notes: Markdown for the model card: intended use, weaknesses, thanks.
        allow_pseudo: Accept pseudo-labels in ``val`` as if they were true.
        allow_trained: Accept photos in ``val`` that the model was trained on.
        progress: Progress display.

    Raises:
        AnnotationError: A file cannot be used, or ``val`` has no labels or pseudo-labels.
        InputError: There are too few photos to calibrate with, or the model was trained on
            photos of ``val``.
        ModelError: The model does not exist, is damaged, or has no torch weights.
        OutputError: The folder exists or cannot be written.
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
    request = ExportRequest(stored, fitted, measured, overlap_rule, has_probs, frame_px, notes)
    check_request(request)
    warnings = []
    if measured is not None:
        require_photos(require_labels(measured))
        warnings += check_truth(measured, allow_pseudo=allow_pseudo)
        warnings += check_unseen(
            stored.info.photo_hashes, stored.name, measured,
            allow_trained=allow_trained, progress=progress,
        )  # fmt: skip
    return Export(export_model(request, folder, progress), tuple(warnings))
