"""Random changes of a photo's colours: shadow, blur, noise, JPEG and local contrast.

Strengths are in the range of phone photos. Random numbers come from torch's generator. torchvision
has no CLAHE and no shadow, is giving up its JPEG, and blurs three times slower than Pillow.
"""

import io
import math
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from bunri.core.errors import MissingExtraError
from bunri.training.samples.geometry import draw

CLAHE_CLIP = (1.0, 3.0)
"""Clip limit, as a multiple of the mean of a tile's histogram."""
CLAHE_TILES = (8, 8)
BLUR_SIGMA_PX = (0.5, 1.5)
JPEG_QUALITY = (20, 70)
NOISE_SIGMA = (2.0, 12.0)
"""Standard deviation, of 255."""
SHADOW_WIDTH = (0.15, 0.5)
"""Width of a shadow, as a share of the photo's side."""
SHADOW_LIGHT = (0.35, 0.75)
"""Share of the light left in a shadow."""
SHADOW_EDGE = 0.02
"""Width of a shadow's edge, as a share of the photo's side."""

PhotoChange = Callable[[Tensor], Tensor]
"""uint8 (3, H, W) RGB in and out."""


def cast_shadow(image: Tensor) -> Tensor:
    """Return a photo, uint8 (3, H, W), with a darker stripe across it."""
    y, x = (torch.linspace(-0.5, 0.5, side) for side in image.shape[-2:])
    angle = draw(0.0, math.pi)
    across = y[:, None] * math.sin(angle) + x * math.cos(angle) - draw(-0.4, 0.4)
    depth = (draw(*SHADOW_WIDTH) / 2 - across.abs()) / SHADOW_EDGE + 0.5
    light = 1.0 - (1.0 - draw(*SHADOW_LIGHT)) * depth.clamp_(0.0, 1.0)
    return (image * light).round_().to(torch.uint8)


def blur(image: Tensor) -> Tensor:
    """Return a photo, uint8 (3, H, W), out of focus."""
    return _from_picture(_to_picture(image).filter(ImageFilter.GaussianBlur(draw(*BLUR_SIGMA_PX))))


def add_noise(image: Tensor) -> Tensor:
    """Return a photo, uint8 (3, H, W), with independent Gaussian noise on each value."""
    noisy = torch.randn(image.shape).mul_(draw(*NOISE_SIGMA)).add_(image)
    return noisy.round_().clamp_(0.0, 255.0).to(torch.uint8)


def store_as_jpeg(image: Tensor) -> Tensor:
    """Return a photo, uint8 (3, H, W), after compression as a low-quality JPEG."""
    file = io.BytesIO()
    _to_picture(image).save(file, "JPEG", quality=round(draw(*JPEG_QUALITY)))
    with Image.open(file) as picture:
        return _from_picture(picture)


def load_clahe() -> PhotoChange:
    """Return a change that equalises the contrast of a photo's luma tile by tile."""
    try:
        # Imported here because it is slow to import and few runs need it.
        from kornia.enhance import equalize_clahe
    except ImportError as error:
        raise MissingExtraError(
            "augment.clahe needs kornia, which is not installed.",
            hint="Install it with: pip install kornia, or set augment.clahe to 0.",
        ) from error

    def equalize_contrast(image: Tensor) -> Tensor:
        light, *hues = _to_picture(image).convert("YCbCr").split()
        plane = torch.from_numpy(np.array(light)).float()[None, None] / 255.0
        equal: Tensor = equalize_clahe(plane, draw(*CLAHE_CLIP), CLAHE_TILES)[0, 0]
        equal = (equal * 255.0).round_().clamp_(0.0, 255.0).to(torch.uint8)
        return _from_picture(Image.merge("YCbCr", (Image.fromarray(equal.numpy()), *hues)))

    return equalize_contrast


def _to_picture(image: Tensor) -> Image.Image:
    """Return a photo, uint8 (3, H, W), as a Pillow image."""
    return Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).numpy()))


def _from_picture(picture: Image.Image) -> Tensor:
    """Return a Pillow image as uint8 (3, H, W) RGB."""
    return torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)
