"""Labels that a trained model contradicts: the first ones a person should look at.

Owns when an object is suspicious. Knows nothing of networks; it is given their probabilities.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bunri.core.contracts import BACKGROUND_INDEX, FloatArray, ImageArray
from bunri.labels.overlap import draw_mask
from bunri.labels.rasterize import draw_region
from bunri.labels.records import LabelledSet, Photo

PredictProbs = Callable[[ImageArray], FloatArray]
"""From uint8 (H, W, 3) RGB to float32 (C, H, W), which sums to 1 over C."""

_MIN_AREA_PX = 64
_BACKGROUND_PROB = 0.5
_SLACK = 0.05
_MIN_SHORTFALL = 0.3
_MIN_RIVAL_PROB = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class JudgedObject:
    """What a model says of an object.

    Attributes:
        annotation_id: Of the object.
        class_index: Its label.
        probs: float32 (C,), the mean probability of each class over its pixels.
        loss: The mean negative logarithm of its own class's probability.
    """

    annotation_id: int
    class_index: int
    probs: FloatArray
    loss: float


def judge_objects(
    labelled: LabelledSet, photo: Photo, image: ImageArray, predict_probs: PredictProbs
) -> list[JudgedObject]:
    """Return what a model says of each object of a photo that is not too small to tell.

    An object's pixels are those that are its own under ``largest-first``.

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
    judged = []
    for annotation in annotations:
        index = labelled.index_of_category[annotation.category_id]
        inside = probs[:, draw_region(annotation.segmentation, photo.size_hw) & (mask == index)]
        if inside.shape[1] >= _MIN_AREA_PX:
            loss = -float(np.log(np.maximum(inside[index], 1e-6)).mean())
            judged.append(JudgedObject(annotation.id, index, inside.mean(1), loss))
    return judged


def find_suspicious(judged: Sequence[JudgedObject], names: Sequence[str]) -> list[tuple[int, str]]:
    """Return (annotation id, note) of objects whose label is probably wrong, the surest first.

    "Confident learning" (Northcutt et al. 2021), so that a model's habits are not held against
    the labels: what it usually gives to the objects of a class is the measure for that class.
    An object is suspicious if its own class gets at least 0.3 less than usual, and another one
    as much as is usual there.

    Args:
        judged: All objects of a set.
        names: Of the classes.
    """
    if not judged:
        return []
    probs = np.stack([item.probs for item in judged])
    labels = np.array([item.class_index for item in judged])
    usual = np.full(len(names), np.inf)  # a class without objects is never what one looks like
    for index in np.unique(labels):
        usual[index] = probs[labels == index, index].mean()
    usual[BACKGROUND_INDEX] = _BACKGROUND_PROB
    excess = probs - usual
    shortfall = -excess[np.arange(len(labels)), labels]
    excess[np.arange(len(labels)), labels] = -np.inf
    excess[probs < _MIN_RIVAL_PROB] = -np.inf
    rival = excess.argmax(1)
    margin = excess.max(1) + shortfall
    order = np.argsort(-margin, kind="stable").tolist()
    found = []
    for i in order:
        if shortfall[i] >= _MIN_SHORTFALL and excess[i, rival[i]] >= -_SLACK:
            alike = f"looks like {names[rival[i]]} ({probs[i, rival[i]]:.2f})"
            note = f"labelled {names[labels[i]]}, {alike}; loss {judged[i].loss:.2f}"
            found.append((judged[i].annotation_id, note))
    return found
