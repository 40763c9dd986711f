"""Labels that a trained model contradicts: the first ones a person should look at.

Owns when an object is suspicious. Knows nothing of networks; it is given a function.
"""

from collections.abc import Callable

import numpy as np

from bunri.annotations.overlap import draw_mask
from bunri.annotations.rasterize import draw_region
from bunri.annotations.records import Annotation, LabelledSet, Photo
from bunri.contracts import FloatArray, ImageArray, MaskArray

PredictProbs = Callable[[ImageArray], FloatArray]
"""From uint8 (H, W, 3) RGB to float32 (C, H, W), which sums to 1 over C."""

_MIN_AREA_PX = 64
_MAX_OWN_PROB = 0.1
_MIN_OTHER_PROB = 0.7


def find_suspicious_labels(
    labelled: LabelledSet, photo: Photo, image: ImageArray, predict_probs: PredictProbs
) -> list[tuple[float, int, str]]:
    """Return (loss, annotation id, note) of objects that a model is sure are something else.

    An object's loss is the mean negative logarithm of the probability of its class over the
    pixels that are its own under ``largest-first``. It is suspicious if its class has a mean
    probability of at most 0.1 there and one other class at least 0.7, the condition of
    "confident learning" (Northcutt et al. 2021) with fixed thresholds.

    Args:
        labelled: Labels whose table is the model's.
        photo: One of ``labelled.photos``.
        image: Its pixels, uint8 (H, W, 3).
        predict_probs: The model.
    """
    annotations = labelled.annotations.get(photo.id, ())
    if not annotations:
        return []
    probs = predict_probs(image)
    mask = draw_mask(labelled, photo, "largest-first")
    found = [_judge(labelled, photo, item, mask, probs) for item in annotations]
    return [item for item in found if item is not None]


def _judge(
    labelled: LabelledSet, photo: Photo, annotation: Annotation, mask: MaskArray, probs: FloatArray
) -> tuple[float, int, str] | None:
    index = labelled.index_of_category[annotation.category_id]
    pixels = draw_region(annotation.segmentation, photo.size_hw) & (mask == index)
    if np.count_nonzero(pixels) < _MIN_AREA_PX:
        return None
    inside = probs[:, pixels]
    means = inside.mean(1)
    best = int(means.argmax())
    if means[index] > _MAX_OWN_PROB or means[best] < _MIN_OTHER_PROB:
        return None
    loss = -float(np.log(np.maximum(inside[index], 1e-6)).mean())
    names = labelled.table.names
    note = f"labelled {names[index]}, looks like {names[best]} ({means[best]:.2f}); loss {loss:.2f}"
    return loss, annotation.id, note
