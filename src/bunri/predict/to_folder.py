"""Photos predicted into a folder: masks, overlays, areas, and a COCO file if asked for.

The next photos are read and the last results written while the network runs.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from bunri.core.contracts import ImageArray
from bunri.core.errors import ImageError, InputError
from bunri.core.files import check_writable, write_json
from bunri.core.progress import Progress, show_nothing
from bunri.images.photos import read_photo
from bunri.labels.soft import shrink_plane
from bunri.predict.choices import DEFAULT_CHOICES, Models, PredictionChoices, open_predictor
from bunri.predict.coco_output import CocoCollector, Shape
from bunri.predict.outputs import (
    COMPOSITION_NAME,
    PROBS_SIDE_PX,
    PhotoTask,
    PredictedPhoto,
    find_photos,
    write_composition,
    write_prediction,
)
from bunri.predict.predictor import AnyPredictor

REPORT_NAME = "predictions.json"

Write = Callable[[PredictedPhoto], dict[str, Any]]
Item = TypeVar("Item")
Result = TypeVar("Result")

_NUM_AHEAD = 2  # photos read, and as many results not yet written, beside those in the network


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


def predict_photos(
    predictor: AnyPredictor, tasks: Sequence[PhotoTask], write: Write, *, keeps_probs: bool = False
) -> Iterator[dict[str, Any]]:
    """Yield a row for each photo, in order: the result of ``write``, or ``photo`` and ``error``.

    Args:
        predictor: The model, or several.
        tasks: The photos.
        write: Function that writes a prediction; called in another thread, one photo at a time
            and in order.
        keeps_probs: Hand probabilities to ``write``.
    """
    predict = partial(_predict, predictor, keeps_probs=keeps_probs)
    with (
        predictor.share_cores() if len(tasks) > 1 else nullcontext(1) as num_at_once,
        open_pool(1) as reader,
        open_pool(num_at_once) as predictors,
        open_pool(1) as writer,
    ):
        read = zip(tasks, map_ahead(reader, _read, tasks, _NUM_AHEAD), strict=True)
        # A single photo at a time is predicted in this thread: others would keep memory of their
        # own, and these are the large photos.
        predicted = (
            map_ahead(predictors, predict, read, num_at_once)
            if num_at_once > 1
            else map(predict, read)
        )
        yield from map_ahead(writer, partial(_write, write), predicted, _NUM_AHEAD)


@contextmanager
def open_pool(num_threads: int) -> Iterator[ThreadPoolExecutor]:
    """Yield threads; after an error, work they have not begun is cancelled."""
    executor = ThreadPoolExecutor(num_threads)
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)


def _predict(
    predictor: AnyPredictor, read: tuple[PhotoTask, ImageArray | str], *, keeps_probs: bool
) -> PredictedPhoto | dict[str, Any]:
    task, image = read
    if isinstance(image, str):
        return {"photo": str(task.photo), "error": image}
    try:
        planes = predictor.predict_planes(image)
        mask = predictor.decide(planes)
        probs = [shrink_plane(plane, PROBS_SIDE_PX) for plane in planes] if keeps_probs else []
        return PredictedPhoto(task, image, mask, np.stack(probs) if keeps_probs else None)
    except InputError as error:
        reason = f"{task.photo}: {error.message}"
    except MemoryError:
        height, width = image.shape[:2]
        reason = f"{task.photo} is {width}x{height}: there is not enough memory for it."
    return {"photo": str(task.photo), "error": reason}


def _read(task: PhotoTask) -> ImageArray | str:
    try:
        return read_photo(task.photo)
    except ImageError as error:
        return error.message
    except MemoryError:
        return f"{task.photo}: there is not enough memory to read it."


def _write(write: Write, predicted: PredictedPhoto | dict[str, Any]) -> dict[str, Any]:
    return predicted if isinstance(predicted, dict) else write(predicted)


def map_ahead(
    executor: ThreadPoolExecutor,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    num_ahead: int,
) -> Iterator[Result]:
    """Yield the function's result for each item, in order, computed ``num_ahead`` items ahead."""
    waiting: deque[Future[Result]] = deque()
    for item in items:
        waiting.append(executor.submit(function, item))
        if len(waiting) > num_ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
