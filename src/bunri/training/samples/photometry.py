"""How light, lens, sensor and storage change a photo, at random.

Owns changes of colour; masks do not come here. Strengths are what phones do; how often is the
settings'. Torch's generator is drawn from. torchvision has no CLAHE and no shadow, gives up its
JPEG, and blurs at three times Pillow's cost.
"""

import io
import math
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from bunri.core.errors import MissingExtraError
from bunri.training.config import AugmentConfig
from bunri.training.samples.geometry import draw

CLAHE_CLIP = (1.0, 3.0)
"""How many times the mean a bar of a tile's histogram may be."""
CLAHE_TILES = (8, 8)
BLUR_SIGMA_PX = (0.5, 1.5)
JPEG_QUALITY = (20, 70)
NOISE_SIGMA = (2.0, 12.0)
"""Of 255."""
SHADOW_WIDTH = (0.15, 0.5)
"""Share of the photo's side."""
SHADOW_LIGHT = (0.35, 0.75)
"""What is left of the light."""
SHADOW_EDGE = 0.02
"""How far a shadow's edge reaches, as a share of the photo's side."""

PhotoChange = Callable[[Tensor], Tensor]
"""uint8 (3, H, W) RGB in and out."""


def list_light_changes(config: AugmentConfig) -> list[tuple[PhotoChange, float]]:
    """Return what happens to a photo between the scene and the file, and how often."""
    return [
        (cast_shadow, config.shadow),
        (blur, config.blur),
        (add_noise, config.noise),
        (store_as_jpeg, config.jpeg),
    ]


def cast_shadow(image: Tensor) -> Tensor:
    """Return a photo, uint8 (3, H, W), with a darker stripe across."""
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
    """Return a photo, uint8 (3, H, W), with a dark sensor's noise: each value on its own."""
    noisy = torch.randn(image.shape).mul_(draw(*NOISE_SIGMA)).add_(image)
    return noisy.round_().clamp_(0.0, 255.0).to(torch.uint8)


def store_as_jpeg(image: Tensor) -> Tensor:
    """Return a photo, uint8 (3, H, W), as it comes back from a poor JPEG."""
    file = io.BytesIO()
    _to_picture(image).save(file, "JPEG", quality=round(draw(*JPEG_QUALITY)))
    with Image.open(file) as picture:
        return _from_picture(picture)


def load_clahe() -> PhotoChange:
    """Return what equalises the contrast of a photo's light tile by tile; its hues stay.

    Raises:
        MissingExtraError: kornia is not installed.
    """
    try:
        # Here, since it takes long to import and few runs want it.
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
    """Return a photo, uint8 (3, H, W), as Pillow has it."""
    return Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).numpy()))


def _from_picture(picture: Image.Image) -> Tensor:
    """Return a Pillow picture as uint8 (3, H, W) RGB."""
    return torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)
