"""Augmentation of a training photo and its mask.

Changes are made in the order view, pasted objects, local contrast, flips, colours, light, lens,
sensor, storage. Random numbers come from torch's generator, which the caller seeds; a change that
is off draws none, so that turning it on or off does not alter the draws of the changes before it.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import v2

from bunri.core.contracts import IGNORE_INDEX, ImageArray, MaskArray
from bunri.images.frames import fit_size_hw, resize_image, resize_mask
from bunri.training.config import AugmentConfig
from bunri.training.samples.geometry import RandomView, happens, turn_quarters
from bunri.training.samples.photometry import (
    PhotoChange,
    add_noise,
    blur,
    cast_shadow,
    load_clahe,
    store_as_jpeg,
)

Augmentation = Callable[[ImageArray, MaskArray], tuple[ImageArray, MaskArray]]
"""uint8 (H, W, 3) and uint8 (H, W) in, the same types at the training size out."""
Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""uint8 (3, H, W) and uint8 (H, W) in and out."""


def build_augmentation(
    config: AugmentConfig, frame_px: int, paste: Step | None = None
) -> Augmentation:
    """Return the augmentation to a square of ``crop_size_px``, or ``frame_px`` if that is null."""
    steps = _list_steps(config, frame_px, paste)

    def augment(image: ImageArray, mask: MaskArray) -> tuple[ImageArray, MaskArray]:
        if config.crop_size_px is None:
            image, mask = _fit_square(image, mask, frame_px)
        if not steps:
            return image, mask
        # Copies, because photos in the store are read-only.
        pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)
        labels = torch.from_numpy(mask.copy())
        for step in steps:
            pixels, labels = step(pixels, labels)
        return np.ascontiguousarray(pixels.permute(1, 2, 0).numpy()), labels.numpy()

    return augment


def _list_steps(config: AugmentConfig, frame_px: int, paste: Step | None) -> list[Step]:
    steps: list[Step] = []
    if config.crop_size_px is not None or config.rotate or config.grid or config.elastic:
        steps.append(RandomView(config, frame_px))
    if config.quarter_turn:  # the same before or after the view, which is a square
        steps.append(_make_random(turn_quarters, config.quarter_turn))
    if paste is not None:
        steps.append(paste)
    if config.clahe:
        steps.append(_make_random(_spare_mask(load_clahe()), config.clahe))
    for chance, axis in ((config.hflip, -1), (config.vflip, -2)):
        if chance:
            steps.append(_make_random(partial(_flip, axis=axis), chance))
    if config.brightness or config.contrast or config.saturation or config.hue:
        jitter = v2.ColorJitter(config.brightness, config.contrast, config.saturation, config.hue)
        steps.append(_spare_mask(jitter))
    light_changes = (  # between scene and file, in this order
        (cast_shadow, config.shadow),
        (blur, config.blur),
        (add_noise, config.noise),
        (store_as_jpeg, config.jpeg),
    )
    return steps + [_make_random(_spare_mask(change), p) for change, p in light_changes if p]


def _flip(image: Tensor, mask: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    return image.flip(axis), mask.flip(axis)


def _make_random(step: Step, chance: float) -> Step:
    """Return a step that is made with a probability."""
    return lambda image, mask: step(image, mask) if happens(chance) else (image, mask)


def _spare_mask(change: PhotoChange) -> Step:
    """Return a step that changes the photo and leaves the mask."""
    return lambda image, mask: (change(image), mask)


def _fit_square(image: ImageArray, mask: MaskArray, side_px: int) -> tuple[ImageArray, MaskArray]:
    """Scale the longer side to ``side_px`` and pad to a square; padding is ignored."""
    height, width = fit_size_hw((image.shape[0], image.shape[1]), side_px)
    square = np.zeros((side_px, side_px, 3), np.uint8)
    labels = np.full((side_px, side_px), IGNORE_INDEX, np.uint8)
    square[:height, :width] = resize_image(image, (height, width))
    labels[:height, :width] = resize_mask(mask, (height, width))
    return square, labels
