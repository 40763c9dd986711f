"""Masks kept on disk, found again by what they were drawn from.

Owns the cache's layout and keys. Knows nothing of who trains on the masks.
"""

import hashlib
import io
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bunri.annotations.overlap import draw_mask
from bunri.annotations.records import LabelledSet, Photo, Polygons
from bunri.config import OverlapRule
from bunri.contracts import MaskArray, OutputError
from bunri.files import find_cache_folder, replace_atomically

# Part of every key: raise it when drawing changes, and old masks are never found again.
_FORMAT = b"bunri-mask-1"


def hash_labels(dataset: LabelledSet, photo: Photo, rule: OverlapRule) -> str:
    """Return a key of 64 hex digits for everything that a photo's mask depends on.

    That is: its annotations in order (outline and class index), the rule, the size, and the
    version of the drawing code. Two equal keys mean equal masks, whatever file they are from.
    """
    digest = hashlib.sha256(_FORMAT)
    digest.update(f"{rule} {photo.height_px} {photo.width_px}".encode())
    for annotation in dataset.annotations.get(photo.id, ()):
        shape = annotation.segmentation
        index = dataset.index_of_category[annotation.category_id]
        if isinstance(shape, Polygons):
            digest.update(f"|polygons {index} {[len(p) for p in shape.parts]}".encode())
            for part in shape.parts:
                digest.update(part.tobytes())
        else:
            digest.update(f"|runs {index} {len(shape.counts)}".encode())
            digest.update(shape.counts.tobytes())
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class MaskCache:
    """Masks by content; safe with several processes, since files appear whole or not at all.

    A mask is a plain ``.npy`` file, so that reading it is one copy from the page cache.
    """

    folder: Path

    @classmethod
    def open_default(cls) -> "MaskCache":
        """Return the user's cache, see :func:`bunri.files.find_cache_folder`."""
        return cls(find_cache_folder() / "masks")

    def load_mask(self, dataset: LabelledSet, photo: Photo, rule: OverlapRule) -> MaskArray:
        """Return the mask of a photo, drawn now or earlier; see ``overlap.draw_mask``.

        A damaged cache file is drawn anew. Where the cache cannot be written, drawing
        goes on without it: a cache must never be the reason that work stops.
        """
        key = hash_labels(dataset, photo, rule)
        path = self.folder / key[:2] / f"{key}.npy"
        kept = _read_mask(path, photo.size_hw)
        if kept is not None:
            return kept
        mask = draw_mask(dataset, photo, rule)
        with suppress(OutputError), replace_atomically(path) as temporary:
            np.save(temporary, mask, allow_pickle=False)
        return mask


def _read_mask(path: Path, size_hw: tuple[int, int]) -> MaskArray | None:
    """Return the mask in a file of :meth:`MaskCache.load_mask`, None for any other file.

    ``np.load`` would parse the header, and fail in a dozen ways where it is damaged; only one
    header is right here.
    """
    header = io.BytesIO()
    description = {"descr": "|u1", "fortran_order": False, "shape": size_hw}
    np.lib.format.write_array_header_1_0(header, description)
    try:
        content = np.fromfile(path, np.uint8)
    except OSError:
        return None
    start = header.tell()
    is_whole = content.size == start + size_hw[0] * size_hw[1]
    if not is_whole or content[:start].tobytes() != header.getvalue():
        return None
    return content[start:].reshape(size_hw)
