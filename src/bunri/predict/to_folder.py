"""Photos predicted into a folder: masks, overlays, areas, and a COCO file if asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bunri.core.files import check_writable, write_json
from bunri.core.progress import Progress, show_nothing
from bunri.predict.choices import DEFAULT_CHOICES, Models, PredictionChoices, open_predictor
from bunri.predict.coco_output import CocoCollector, Shape
from bunri.predict.outputs import (
    COMPOSITION_NAME,
    PredictedPhoto,
    find_photos,
    write_composition,
    write_prediction,
)
from bunri.predict.predictor import AnyPredictor
from bunri.predict.stream import predict_photos

REPORT_NAME = "predictions.json"


@dataclass(frozen=True, slots=True)
class FolderOutput:
    """Extra files of :func:`predict_to_folder`.

    Attributes:
        coco: Path of a COCO file; None for none.
        coco_shape: Shape of its objects, ``polygons`` or ``rle``.
        keeps_colors: Write ``colors/NAME.png``, the mask as RGB.
        keeps_probs: Write ``probs/NAME.png``, the probability of each class.
    """

    coco: Path | None = None
    coco_shape: Shape = "polygons"
    keeps_colors: bool = False
    keeps_probs: bool = False


PLAIN_OUTPUT = FolderOutput()


def predict_to_folder(
    models: Models,
    photos: Sequence[Path],
    folder: Path,
    *,
    choices: PredictionChoices = DEFAULT_CHOICES,
    output: FolderOutput = PLAIN_OUTPUT,
    progress: Progress = show_nothing,
) -> dict[str, Any]:
    """Predict photos and write everything about them into a folder.

    Writes ``masks/NAME.png`` (class indices), ``overlays/NAME.jpg``, ``predictions.json`` and
    ``composition.csv``. A photo that cannot be used is listed with the reason, and the others
    are predicted all the same.

    Args:
        choices: Options of prediction; unused where ``models`` is a predictor.

    Returns:
        The content of ``predictions.json``; a row of ``photos`` with ``error`` is a photo that
        could not be used. If none could, nothing is written.

    Raises PathError, InputError, ModelError, OutputError.
    """
    tasks = find_photos(photos, folder)
    for path in (folder / REPORT_NAME, *([output.coco] if output.coco else [])):
        check_writable(path)
    predictor = open_predictor(models, choices)
    collector = CocoCollector(predictor.table, output.coco_shape) if output.coco else None

    def write(prediction: PredictedPhoto) -> dict[str, Any]:
        if collector is not None:
            collector.add(prediction)
        return write_prediction(
            folder, prediction, predictor.table, keeps_colors=output.keeps_colors
        )

    rows: list[dict[str, Any]] = []
    with progress("Predicting photos", len(tasks)) as advance:
        for row in predict_photos(predictor, tasks, write, keeps_probs=output.keeps_probs):
            rows.append(row)
            advance()
    report = _describe(predictor, rows)
    if any("error" not in row for row in rows):
        write_json(folder / REPORT_NAME, report)
        write_composition(folder / COMPOSITION_NAME, rows, predictor.table)
        if collector is not None and output.coco is not None:
            collector.write(output.coco, predictor.stored)
    return report


def _describe(predictor: AnyPredictor, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return ``predictions.json``; several models, and settings, stand there only if used."""
    models = predictor.given
    changed = predictor.settings.model_dump(mode="json", exclude_defaults=True)
    return {
        "model": models[0],
        **({"models": list(models)} if len(models) > 1 else {}),
        **({"settings": changed} if changed else {}),
        "classes": predictor.table.to_json(),
        "photos": rows,
    }
