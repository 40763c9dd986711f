"""From MODEL and a photo to a mask.

Owns how a model is chosen and its frames are undone. Knows nothing of files to write.
"""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from bunri.bundle import BundleInfo, find_bundle, read_bundle
from bunri.contracts import (
    ClassTable,
    FloatArray,
    ImageArray,
    MaskArray,
    MissingExtraError,
    ModelError,
    check_image,
)
from bunri.images import restore_planes, restore_probs, restore_winners


class Backend(Protocol):
    """Whatever runs a network."""

    def predict_probs(self, pixels: FloatArray) -> FloatArray:
        """Return probabilities, float32 (C, h, w), of a network frame, float32 (3, h, w)."""


class Predictor:
    """A model ready to predict.

    Args:
        info: Classes and preprocessing of the model.
        backend: Runs its network.
    """

    def __init__(self, info: BundleInfo, backend: Backend) -> None:
        self.info = info
        self._backend = backend

    @property
    def table(self) -> ClassTable:
        """The classes that masks are indices into."""
        return self.info.table

    def predict_probs(self, image: ImageArray) -> FloatArray:
        """Return the probability of each class at each pixel.

        Args:
            image: uint8 (H, W, 3) RGB, upright.

        Returns:
            float32 (C, H, W), sums to 1 over C.

        Raises:
            ImageError: Wrong type or shape.
            ModelError: The network gives something that is no number.
        """
        frame = self.info.preprocessing.prepare(check_image(image))
        return restore_probs(self._run(frame.pixels), frame)

    def predict_planes(self, image: ImageArray) -> Iterator[FloatArray]:
        """Yield the same class by class, each float32 (H, W): large photos take less memory.

        Args:
            image: uint8 (H, W, 3) RGB, upright.

        Raises:
            ImageError: Wrong type or shape.
        """
        frame = self.info.preprocessing.prepare(check_image(image))
        return restore_planes(self._run(frame.pixels), frame)

    def predict_mask(self, image: ImageArray) -> MaskArray:
        """Return the most probable class of each pixel.

        Args:
            image: uint8 (H, W, 3) RGB, upright.

        Returns:
            uint8 (H, W), index into ``table``.

        Raises:
            ImageError: Wrong type or shape.
            ModelError: The network gives something that is no number.
        """
        return self.predict_winners(image)[0]

    def predict_winners(self, image: ImageArray) -> tuple[MaskArray, FloatArray]:
        """Return the most probable class of each pixel, and its probability.

        Args:
            image: uint8 (H, W, 3) RGB, upright.

        Returns:
            uint8 (H, W), index into ``table``, and float32 (H, W).

        Raises:
            ImageError: Wrong type or shape.
            ModelError: The network gives something that is no number.
        """
        frame = self.info.preprocessing.prepare(check_image(image))
        return restore_winners(self._run(frame.pixels), frame)

    def _run(self, pixels: FloatArray) -> FloatArray:
        """Return the network's probabilities, sure to be numbers: NaN would lose every argmax."""
        probs = self._backend.predict_probs(pixels)
        if not np.isfinite(probs).all():
            raise ModelError(
                "The model's probabilities are not all numbers (NaN or infinite).",
                hint="Its weights are damaged, or its training diverged: use another epoch or run.",
            )
        return probs


def load_predictor(model: str) -> Predictor:
    """Return a predictor for MODEL, a run folder or a bundle folder.

    Raises:
        ModelError: There is no such model, or it is damaged.
        MissingExtraError: torch is not installed.
    """
    folder: Path = find_bundle(model)
    info = read_bundle(folder)
    if importlib.util.find_spec("torch") is None:
        raise MissingExtraError(
            "This model runs on torch, which is not installed.",
            hint='Install it with: pip install "bunri[train]"',
        )
    from bunri.predict.torch_backend import TorchBackend

    return Predictor(info, TorchBackend(folder, info))
