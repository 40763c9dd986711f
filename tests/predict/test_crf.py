"""A CRF moves a mask to the edge that the photo has."""

import numpy as np
import pytest

from bunri.core.errors import ImageError
from bunri.images.planes import FramePlanes
from bunri.predict.crf import refine_planes
from bunri.predict.settings import CrfSettings

pytest.importorskip("pydensecrf")

EDGE_PX, SAID_PX = 40, 48


def draw_case():
    """Return a photo with an edge, and probabilities whose edge lies eight pixels off."""
    image = np.full((64, 96, 3), 60, np.uint8)
    image[:, EDGE_PX:] = 200
    probs = np.full((3, 64, 96), 0.05, np.float32)
    probs[0, :, :SAID_PX] = probs[1, :, SAID_PX:] = 0.75
    probs[1, :, :SAID_PX] = probs[0, :, SAID_PX:] = 0.2
    return image, FramePlanes(probs, (64, 96))


def test_refine__the_mask_moves_to_the_edge():
    image, planes = draw_case()
    refined = np.stack(list(refine_planes(planes, image, CrfSettings())))
    np.testing.assert_allclose(refined.sum(0), 1, atol=1e-5)
    truth = np.broadcast_to(np.arange(96) >= EDGE_PX, (64, 96))
    assert (np.stack(list(planes)).argmax(0) == truth).mean() == pytest.approx(1 - 8 / 96)
    np.testing.assert_array_equal(refined.argmax(0), truth)


def test_refine__a_normalised_image_is_refused():
    image, planes = draw_case()
    with pytest.raises(ImageError, match=r"must be uint8 .* this one is float32"):
        refine_planes(planes, ((image / 255 - 0.45) / 0.22).astype(np.float32), CrfSettings())


def test_refine__one_class_alone_stays():
    probs = np.zeros((3, 8, 8), np.float32)
    probs[2] = 1
    image = np.zeros((8, 8, 3), np.uint8)
    refined = np.stack(list(refine_planes(FramePlanes(probs, (8, 8)), image, CrfSettings())))
    assert (refined.argmax(0) == 2).all()


def test_refine__large_photos_are_refined_small():
    image, planes = draw_case()
    refined = refine_planes(planes, image, CrfSettings(max_side_px=48))
    assert [plane.shape for plane in refined] == [(64, 96)] * 3
