"""Photos made worse on purpose: 15 corruptions that a camera over waste may meet.

They follow Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions
and Perturbations" (2019), without those that do not occur above a sorting belt, in the street or in
a classroom: darkness, glare and dirt on the lens replace snow, frost, elastic and glass. All are
reimplemented, and blurs are symmetric about each pixel, so that masks of the clean photo stay true.
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
"""Function of a photo, uint8 (H, W, 3) RGB, a severity and a generator that returns a new photo."""


@dataclass(frozen=True, slots=True)
class Corruption:
    """A corruption by name, the group it belongs to, and its function."""

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
    """Return a photo, uint8 (H, W, 3) RGB, with one corruption of severity 1 (hardly visible) to 5.

    The random generator is seeded by the photo's pixels and the name only, so a photo is changed
    alike in every process; grains, directions and places are the same at every severity. Raises
    ImageError for a wrong type or shape, InputError for an unknown name or severity.
    """
    if name not in _BY_NAME:
        raise InputError(f"There is no corruption {name!r}.{suggest(name, NAMES)}")
    check_severity(severity)
    text = f"{hash_pixels(check_image(image))} {name}"
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest(), "little")
    # PCG64 by name, because numpy may change the generator of default_rng.
    rng = np.random.Generator(np.random.PCG64(seed))
    return _BY_NAME[name].change(image, severity, rng)


def check_severity(severity: int) -> int:
    """Return a severity if it is one of ``SEVERITIES``; raise InputError if not."""
    if severity not in SEVERITIES:
        raise InputError(
            f"A severity is a whole number from {SEVERITIES[0]} to {SEVERITIES[-1]}, "
            f"not {severity}."
        )
    return severity
