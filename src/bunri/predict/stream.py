"""Prediction of many photos: the next are read and the last written while the network runs."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, TypeVar

import numpy as np

from bunri.core.contracts import ImageArray
from bunri.core.errors import ImageError, InputError
from bunri.images.photos import read_photo
from bunri.labels.soft import shrink_plane
from bunri.predict.outputs import PROBS_SIDE_PX, PhotoTask, PredictedPhoto
from bunri.predict.predictor import AnyPredictor

Write = Callable[[PredictedPhoto], dict[str, Any]]
Item = TypeVar("Item")
Result = TypeVar("Result")

_NUM_AHEAD = 2  # photos read, and as many results not yet written, beside those in the network


def predict_photos(
    predictor: AnyPredictor, tasks: Sequence[PhotoTask], write: Write, *, keeps_probs: bool = False
) -> Iterator[dict[str, Any]]:
    """Yield a row for each photo, in order: the result of ``write``, or ``photo`` and ``error``.

    Args:
        write: Function that writes a prediction; called in another thread, one photo at a time
            and in order.
        keeps_probs: Hand probabilities to ``write``.
    """
    predict = partial(_predict, predictor, keeps_probs=keeps_probs)
    with (
        predictor.share_cores() if len(tasks) > 1 else nullcontext(1) as num_at_once,
        _open_pool(1) as reader,
        _open_pool(num_at_once) as predictors,
        _open_pool(1) as writer,
    ):
        read = zip(tasks, _map_ahead(reader, _read, tasks, _NUM_AHEAD), strict=True)
        # A single photo at a time is predicted in this thread: others would keep memory of their
        # own, and these are the large photos.
        predicted = (
            _map_ahead(predictors, predict, read, num_at_once)
            if num_at_once > 1
            else map(predict, read)
        )
        yield from _map_ahead(writer, partial(_write, write), predicted, _NUM_AHEAD)


@contextmanager
def _open_pool(num_threads: int) -> Iterator[ThreadPoolExecutor]:
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


def _map_ahead(
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
