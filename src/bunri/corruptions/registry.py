"""The corruptions by name, and the one way to apply them.

Owns the list, its order and where chance comes from. What each does stands beside this file.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bunri.core.contracts import ImageArray, check_image
from bunri.core.errors import InputError, suggest
from bunri.corruptions.blur import blur_defocus, blur_gaussian, blur_motion, blur_zoom
from bunri.corruptions.coding import compress_jpeg, pixelate
from bunri.corruptions.lens import add_dirt, add_fog, add_glare
from bunri.corruptions.light import brighten, darken, reduce_contrast
from bunri.corruptions.noise import add_gaussian_noise, add_impulse_noise, add_shot_noise
from bunri.images.similarity import hash_pixels

SEVERITIES = range(1, 6)
DEFAULT_SEVERITY = 3

Kind = Literal["noise", "blur", "light", "lens", "coding"]
Change = Callable[[ImageArray, int, np.random.Generator], ImageArray]
"""From uint8 (H, W, 3) RGB, a severity and a source of chance to uint8 (H, W, 3) RGB."""


@dataclass(frozen=True, slots=True)
class Corruption:
    """A way to make a photo worse.

    Attributes:
        name: In lower case with underscores.
        kind: What it belongs with.
        change: What it does; see :data:`Change`. The photo itself stays as it is.
    """

    name: str
    kind: Kind
    change: Change


CORRUPTIONS = (
    Corruption("gaussian_noise", "noise", add_gaussian_noise),
    Corruption("shot_noise", "noise", add_shot_noise),
    Corruption("impulse_noise", "noise", add_impulse_noise),
    Corruption("defocus_blur", "blur", blur_defocus),
    Corruption("motion_blur", "blur", blur_motion),
    Corruption("zoom_blur", "blur", blur_zoom),
    Corruption("gaussian_blur", "blur", blur_gaussian),
    Corruption("dark", "light", darken),
    Corruption("bright", "light", brighten),
    Corruption("contrast", "light", reduce_contrast),
    Corruption("glare", "lens", add_glare),
    Corruption("dirt", "lens", add_dirt),
    Corruption("fog", "lens", add_fog),
    Corruption("jpeg", "coding", compress_jpeg),
    Corruption("pixelate", "coding", pixelate),
)
NAMES = tuple(one.name for one in CORRUPTIONS)
_BY_NAME = {one.name: one for one in CORRUPTIONS}


def corrupt(image: ImageArray, name: str, severity: int = DEFAULT_SEVERITY) -> ImageArray:
    """Return a photo with one corruption.

    Chance follows from the photo's pixels and the name alone: the same photo becomes the same
    pixels, whatever was done before and in whichever process. Grains, directions and places are
    those of the other severities, only stronger.

    Args:
        image: uint8 (H, W, 3) RGB.
        name: One of ``NAMES``.
        severity: 1 (hardly seen) to 5.

    Returns:
        uint8 (H, W, 3) RGB.

    Raises:
        ImageError: Wrong type or shape.
        InputError: No such corruption or severity.
    """
    if name not in _BY_NAME:
        raise InputError(f"There is no corruption {name!r}.{suggest(name, NAMES)}")
    check_severity(severity)
    text = f"{hash_pixels(check_image(image))} {name}"
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest(), "little")
    # PCG64 by name: what default_rng gives may change with numpy.
    rng = np.random.Generator(np.random.PCG64(seed))
    return _BY_NAME[name].change(image, severity, rng)


def check_severity(severity: int) -> int:
    """Return a severity that is one.

    Raises:
        InputError: It is none of ``SEVERITIES``.
    """
    if severity not in SEVERITIES:
        raise InputError(
            f"A severity is a whole number from {SEVERITIES[0]} to {SEVERITIES[-1]}, "
            f"not {severity}."
        )
    return severity
