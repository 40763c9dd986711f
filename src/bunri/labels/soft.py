"""Soft labels: the teachers' class probabilities of a photo in a small PNG.

The file has the planes of all classes, background first, one below the other, 8 bits each, at
about a quarter of the photo's size.

For training, a mask is drawn from the probabilities: each pixel becomes each class as often as
that class is probable. The mean of the cross-entropy over many draws, and of its gradient, equals
that against the probabilities; and since a drawn mask is a mask, every augmentation and every
other loss accepts it.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from bunri.core.contracts import FloatArray, MaskArray
from bunri.core.errors import AnnotationError
from bunri.core.files import hash_file, is_file, join_under, replace_atomically
from bunri.images.frames import fit_size_hw
from bunri.images.photos import read_index_mask
from bunri.images.resizing import resize_plane
from bunri.labels.records import LabelledSet, Photo

MAX_SIDE_PX = 128
"""Longer side of the planes; 12 classes of a photo by unsure teachers are 43 kB."""

Planes = npt.NDArray[np.uint8]  # (C, h, w), probability times 255, rounded


def shrink_plane(plane: FloatArray, max_side_px: int = MAX_SIDE_PX) -> npt.NDArray[np.uint8]:
    """Return the probabilities of one class, float32 (H, W), as stored: uint8 (h, w)."""
    height, width = plane.shape
    size_hw = fit_size_hw((height, width), min(max_side_px, max(height, width)))
    return np.rint(resize_plane(plane, size_hw) * 255).astype(np.uint8)


def write_planes(path: Path, planes: Planes) -> None:
    """Write the planes of a photo.

    Raises:
        OutputError: The file cannot be written.
    """
    _, _, width = planes.shape
    with replace_atomically(path) as temporary:
        Image.fromarray(planes.reshape(-1, width)).save(temporary, optimize=True)


def read_planes(dataset: LabelledSet, photo: Photo) -> Planes:
    """Return the planes of a photo of ``dataset.soft``, after a check of their SHA-256.

    Raises:
        InputError: The file is missing, was changed, or cannot be read.
    """
    listed = dataset.soft[photo.id]
    path = join_under(dataset.source.parent, listed.file_name)
    if not is_file(path) or hash_file(path) != listed.sha256:
        what = "is not the file that" if is_file(path) else "does not exist, but"
        raise AnnotationError(f"{path} {what} {dataset.source.name} names for {photo.file_name!r}.")
    stacked = read_index_mask(path)
    num_planes = len(dataset.category_names) + 1
    if len(stacked) % num_planes:
        raise AnnotationError(f"{path} does not hold the planes of {num_planes} classes.")
    return stacked.reshape(num_planes, -1, stacked.shape[1])


def draw_soft_mask(dataset: LabelledSet, photo: Photo, share: float) -> MaskArray:
    """Return a mask drawn from the probabilities of a photo, without ignored pixels.

    One random number ``share``, uniform in 0..1, decides for the whole photo, so that whole objects
    are drawn, not noise: at each pixel the classes are laid end to end in the order of planes, each
    as long as it is probable, and the class at this share wins.

    Returns:
        uint8 (H, W), index into ``dataset.table``.

    Raises:
        InputError: The planes cannot be read, see :func:`read_planes`.
    """
    planes = read_planes(dataset, photo)
    indices = [0, *(dataset.index_of_category[id_] for id_ in dataset.category_names)]
    small = planes.astype(np.float32)
    # Rounded probabilities sum to 255 only nearly.
    goal = resize_plane(small.sum(axis=0) * share, photo.size_hw)
    mask = np.zeros(photo.size_hw, np.uint8)
    passed = np.zeros(photo.size_hw, np.float32)
    is_open = np.ones(photo.size_hw, np.bool_)
    for plane, index in zip(small, indices, strict=True):
        if not plane.any():
            continue
        passed += resize_plane(plane, photo.size_hw)
        reached = is_open & (passed > goal)
        mask[reached] = index
        is_open &= ~reached
        if not is_open.any():
            break
    return mask
