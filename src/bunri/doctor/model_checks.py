"""Search for labels that a trained model contradicts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bunri.core.classes import ClassTable
from bunri.core.contracts import BACKGROUND_INDEX, FloatArray, ImageArray
from bunri.labels.overlap import draw_mask
from bunri.labels.rasterize import draw_region
from bunri.labels.records import LabelledSet, Photo


class ProbsModel(Protocol):
    """A model that returns probabilities, such as :class:`bunri.predict.predictor.AnyPredictor`."""

    @property
    def table(self) -> ClassTable:
        """Classes of the model."""

    def predict_probs(self, image: ImageArray) -> FloatArray:
        """Return float32 (C, H, W), which sums to 1 over C, for a photo, uint8 (H, W, 3) RGB."""


_MIN_AREA_PX = 64
_BACKGROUND_PROB = 0.5
_SLACK = 0.05
_MIN_SHORTFALL = 0.3
_MIN_RIVAL_PROB = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class JudgedObject:
    """A model's probabilities for one object.

    Attributes:
        probs: Mean probability of each class over its pixels, float32 (C,).
        loss: Mean negative logarithm of its own class's probability.
    """

    annotation_id: int
    class_index: int
    probs: FloatArray
    loss: float


def judge_objects(
    labelled: LabelledSet, photo: Photo, image: ImageArray, model: ProbsModel
) -> list[JudgedObject]:
    """Return the model's probabilities for each object of at least 64 pixels of one photo.

    The pixels of an object are those it owns under ``largest-first``.
    """
    annotations = labelled.annotations.get(photo.id, ())
    if not annotations:
        return []
    probs = model.predict_probs(image)
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
    """Return (annotation id, note) of objects with a probably wrong label, most certain first.

    "Confident learning" (Northcutt et al. 2021): the mean probability that the model gives to
    the objects of a class is the threshold of that class, so that its bias is not held against
    the labels. An object is suspicious if its own class gets at least 0.3 less than the
    threshold, and another class reaches its threshold.
    """
    if not judged:
        return []
    probs = np.stack([item.probs for item in judged])
    labels = np.array([item.class_index for item in judged])
    usual = np.full(len(names), np.inf)  # a class without objects is never a rival
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
