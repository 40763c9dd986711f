"""Photo after photo: read ahead and written behind while the network runs.

Owns threads and their bounds, and what happens to a photo that fails. What is written is decided
by the function that is given.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from bunri.contracts import ImageArray, ImageError, InputError
from bunri.formats.soft import shrink_plane
from bunri.images import read_photo
from bunri.predict.outputs import PROBS_SIDE_PX, PhotoTask, Prediction
from bunri.predict.predictor import AnyPredictor

Write = Callable[[Prediction], dict[str, Any]]
Given = TypeVar("Given")
Made = TypeVar("Made")

_NUM_AHEAD = 2  # photos read, and as many results not yet written, beside the one in the network


def predict_photos(
    predictor: AnyPredictor, tasks: Sequence[PhotoTask], write: Write, *, keeps_probs: bool = False
) -> Iterator[dict[str, Any]]:
    """Yield a row for each photo, in order: what ``write`` returns, or ``photo`` and ``error``.

    Args:
        predictor: The model.
        tasks: The photos.
        write: Called in another thread, one photo at a time and in order.
        keeps_probs: Whether probabilities are wanted.

    Raises:
        ModelError: The model gives something that is no number.
        OutputError: ``write`` cannot write.
    """
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        waiting: deque[Future[dict[str, Any]]] = deque()
        try:
            for task, image in _map_ahead(reader, _read, tasks):
                prediction = _predict(predictor, task, image, keeps_probs=keeps_probs)
                if isinstance(prediction, Prediction):
                    waiting.append(writer.submit(write, prediction))
                else:
                    waiting.append(writer.submit(_tell, task, prediction))
                if len(waiting) > _NUM_AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:  # after an error nothing more is written
                future.cancel()


def _predict(
    predictor: AnyPredictor, task: PhotoTask, image: ImageArray | str, *, keeps_probs: bool
) -> Prediction | str:
    """Return the prediction, or why there is none."""
    if isinstance(image, str):
        return image
    try:
        planes = predictor.predict_planes(image)
        mask, _ = predictor.decide(planes)
        probs = [shrink_plane(plane, PROBS_SIDE_PX) for plane in planes] if keeps_probs else []
        return Prediction(task, image, mask, np.stack(probs) if keeps_probs else None)
    except InputError as error:
        return f"{task.photo}: {error.message}"
    except MemoryError:
        height, width = image.shape[:2]
        return f"{task.photo} is {width}x{height}: there is not enough memory for it."


def _read(task: PhotoTask) -> ImageArray | str:
    try:
        return read_photo(task.photo)
    except ImageError as error:
        return error.message
    except MemoryError:
        return f"{task.photo}: there is not enough memory to read it."


def _tell(task: PhotoTask, reason: str) -> dict[str, Any]:
    return {"photo": str(task.photo), "error": reason}


def _map_ahead(
    executor: ThreadPoolExecutor, function: Callable[[Given], Made], items: Sequence[Given]
) -> Iterator[tuple[Given, Made]]:
    """Yield each item and what the function makes of it, a few made before they are asked for."""
    waiting: deque[tuple[Given, Future[Made]]] = deque()
    for item in items:
        waiting.append((item, executor.submit(function, item)))
        if len(waiting) > _NUM_AHEAD:
            first, future = waiting.popleft()
            yield first, future.result()
    while waiting:
        first, future = waiting.popleft()
        yield first, future.result()
