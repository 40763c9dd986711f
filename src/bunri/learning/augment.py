"""What is changed at random on a training photo, its mask always with it.

Owns the random transforms. Knows nothing of order or seeds: the caller seeds torch.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from bunri.config import AugmentConfig
from bunri.contracts import IGNORE_INDEX, ImageArray, MaskArray
from bunri.images import fit_size_hw, resize_image, resize_mask

Augmentation = Callable[[ImageArray, MaskArray], tuple[ImageArray, MaskArray]]
"""uint8 (H, W, 3) and uint8 (H, W) in, the same types at the training size out."""


def build_augmentation(config: AugmentConfig, frame_px: int) -> Augmentation:
    """Return the transform that settings ask for.

    Args:
        config: Which changes, and how strong.
        frame_px: Side of the square frame when ``crop_size_px`` is null.
    """
    steps: list[Callable[..., object]] = []
    if config.crop_size_px is not None:
        steps.append(
            v2.RandomResizedCrop(
                config.crop_size_px, scale=config.crop_area, ratio=config.crop_aspect
            )
        )
    if config.hflip:
        steps.append(v2.RandomHorizontalFlip(config.hflip))
    if config.vflip:
        steps.append(v2.RandomVerticalFlip(config.vflip))
    if config.brightness or config.contrast or config.saturation or config.hue:
        steps.append(
            v2.ColorJitter(config.brightness, config.contrast, config.saturation, config.hue)
        )
    transform = v2.Compose(steps) if steps else None

    def augment(image: ImageArray, mask: MaskArray) -> tuple[ImageArray, MaskArray]:
        if config.crop_size_px is None:
            image, mask = _fit_square(image, mask, frame_px)
        if transform is None:
            return image, mask
        # A copy: cached photos are read-only, and torch wants to own what it holds.
        pixels = tv_tensors.Image(torch.from_numpy(image.copy()).permute(2, 0, 1))
        labels = tv_tensors.Mask(torch.from_numpy(mask.copy()))
        changed: tuple[Tensor, Tensor] = transform(pixels, labels)
        return np.ascontiguousarray(changed[0].permute(1, 2, 0).numpy()), changed[1].numpy()

    return augment


def _fit_square(image: ImageArray, mask: MaskArray, side_px: int) -> tuple[ImageArray, MaskArray]:
    """Scale the longer side to ``side_px`` and pad to a square; padding is ignored."""
    height, width = fit_size_hw((image.shape[0], image.shape[1]), side_px)
    square = np.zeros((side_px, side_px, 3), np.uint8)
    labels = np.full((side_px, side_px), IGNORE_INDEX, np.uint8)
    square[:height, :width] = resize_image(image, (height, width))
    labels[:height, :width] = resize_mask(mask, (height, width))
    return square, labels
