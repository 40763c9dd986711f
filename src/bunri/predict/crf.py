"""Masks that follow the edges of the photo: a dense CRF over its true colours.

The inference is pydensecrf's, the code of the paper's author: Krähenbühl and Koltun, "Efficient
Inference in Fully Connected CRFs with Gaussian Edge Potentials", NeurIPS 2011.
"""

import importlib.util

import numpy as np

from bunri.core.contracts import FloatArray, ImageArray, check_image
from bunri.core.errors import MissingExtraError
from bunri.images.frames import fit_size_hw, resize_image
from bunri.images.planes import ClassPlanes, FramePlanes
from bunri.images.resizing import resize_planes
from bunri.predict.settings import CrfSettings

_MIN_PROB = 1e-5  # lower probabilities would overrule any edge of the photo


def refine_planes(planes: ClassPlanes, image: ImageArray, settings: CrfSettings) -> FramePlanes:
    """Return a photo's probabilities refined by a CRF.

    Args:
        planes: Probabilities of the photo.
        image: The photo itself, uint8 (H, W, 3) RGB.
        settings: Settings of the CRF.
    """
    check_image(image)  # differences of a normalised image are so small that all would be alike
    require_crf()
    photo_hw = image.shape[0], image.shape[1]
    size_hw = fit_size_hw(photo_hw, min(settings.max_side_px, max(photo_hw)))
    small = resize_planes(planes, size_hw)
    return FramePlanes(_infer(small, resize_image(image, size_hw), settings), photo_hw)


def require_crf() -> None:
    """Raise an error if the CRF is not installed, before anything is predicted."""
    if importlib.util.find_spec("pydensecrf") is None:
        raise MissingExtraError(
            "The CRF needs pydensecrf, which is not installed.",
            hint='Install it with: pip install "bunri[crf]"',
        )


def _infer(probs: FloatArray, image: ImageArray, settings: CrfSettings) -> FloatArray:
    """Return float32 (C, h, w), sums to 1; classes that are probable nowhere are left out."""
    from pydensecrf.densecrf import DenseCRF2D

    present = np.flatnonzero(probs.max(axis=(1, 2)) > _MIN_PROB)
    refined = np.zeros_like(probs)
    if len(present) < 2:
        refined[present] = 1
        return refined
    height, width = image.shape[:2]
    crf = DenseCRF2D(width, height, len(present))
    energy = -np.log(np.maximum(probs[present], _MIN_PROB))
    crf.setUnaryEnergy(np.ascontiguousarray(energy.reshape(len(present), -1), np.float32))
    crf.addPairwiseGaussian(sxy=settings.smooth_px, compat=settings.smooth_weight)
    crf.addPairwiseBilateral(
        sxy=settings.color_px,
        srgb=settings.color_range,
        rgbim=np.array(image, order="C"),  # pydensecrf takes no read-only array
        compat=settings.color_weight,
    )
    inferred = np.array(crf.inference(settings.num_steps), np.float32)
    refined[present] = inferred.reshape(len(present), height, width)
    return refined
