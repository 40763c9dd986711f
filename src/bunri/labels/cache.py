"""Masks kept on disk, found again by what they were drawn from.

Owns the cache's layout and keys. Knows nothing of who trains on the masks.
"""

import functools
import hashlib
import io
import mmap
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bunri.core.contracts import MaskArray
from bunri.core.errors import OutputError
from bunri.core.files import find_cache_folder, replace_atomically
from bunri.labels.overlap import draw_mask
from bunri.labels.records import Annotation, LabelledSet, Photo, Polygons
from bunri.labels.rules import OverlapRule

# Part of every key: raise it when drawing or the file changes, and old masks are never found again.
_FORMAT = b"bunri-mask-2"
_WORD = np.dtype("<u8")


def hash_labels(dataset: LabelledSet, photo: Photo, rule: OverlapRule) -> str:
    """Return a key of 64 hex digits for everything that a photo's mask depends on.

    That is: its annotations in order (outline and class index), its ignored pixels, the rule,
    the size, and the version of the drawing code. Two equal keys mean equal masks, whatever file
    they are from.
    """
    annotations = dataset.annotations.get(photo.id, ())
    indices = [dataset.index_of_category[annotation.category_id] for annotation in annotations]
    digest = hashlib.sha256(_FORMAT + repr((rule, photo.size_hw, indices)).encode())
    known = dataset.outline_digests.get(photo.id)
    if known is None or known[0] is not annotations:
        known = annotations, _hash_outlines(annotations)
        dataset.outline_digests[photo.id] = known
    digest.update(known[1])
    if photo.id in dataset.ignored:
        digest.update(dataset.ignored[photo.id].counts.tobytes())
    return digest.hexdigest()


def _hash_outlines(annotations: Sequence[Annotation]) -> bytes:
    """Return the SHA-256 of all outlines, and make these read-only, so that it stays true."""
    # The description says how many numbers of which object follow, so that different outlines
    # never give the same bytes.
    description: list[tuple[str, object]] = []
    numbers: list[npt.NDArray[Any]] = []
    for annotation in annotations:
        shape = annotation.segmentation
        if isinstance(shape, Polygons):
            description.append(("polygons", [len(part) for part in shape.parts]))
            numbers += shape.parts
        else:
            description.append(("runs", len(shape.counts)))
            numbers.append(shape.counts)
    digest = hashlib.sha256(repr(description).encode())
    for array in numbers:
        array.flags.writeable = False
        digest.update(array.tobytes())
    return digest.digest()


@dataclass(frozen=True, slots=True)
class MaskCache:
    """Masks by content; safe with several processes, since files appear whole or not at all.

    A mask is a plain ``.npy`` file, so that reading it is one copy from the page cache, and eight
    bytes more: a sum over all the others.
    """

    folder: Path

    @classmethod
    def open_default(cls) -> "MaskCache":
        """Return the user's cache, see :func:`bunri.core.files.find_cache_folder`."""
        return cls(find_cache_folder() / "masks")

    def load_mask(
        self, dataset: LabelledSet, photo: Photo, rule: OverlapRule, *, memory_map: bool = False
    ) -> MaskArray:
        """Return the mask of a photo, drawn now or earlier; see ``overlap.draw_mask``.

        A damaged cache file is drawn anew. Where the cache cannot be written, drawing
        goes on without it: a cache must never be the reason that work stops.

        Args:
            dataset: Where ``photo`` comes from.
            photo: One of ``dataset.photos``.
            rule: One of ``config.OVERLAP_RULES``.
            memory_map: Return a read-only view of the file instead of a copy: masks that are
                held take no memory of their own, and processes share them.

        Raises:
            AnnotationError: An annotation that cannot be drawn; its id is named.
        """
        key = hash_labels(dataset, photo, rule)
        path = self.folder / key[:2] / f"{key}.npy"
        kept = _read_mask(path, photo.size_hw, memory_map=memory_map)
        if kept is not None:
            return kept
        mask = draw_mask(dataset, photo, rule)
        with suppress(OutputError), replace_atomically(path, durable=False) as temporary:
            temporary.write_bytes(_pack_mask(mask).data)
        if not memory_map:
            return mask
        mask.flags.writeable = False
        kept = _read_mask(path, photo.size_hw, memory_map=True)
        return mask if kept is None else kept


def _pack_mask(mask: MaskArray) -> npt.NDArray[np.uint8]:
    """Return the bytes of a cache file: a whole ``.npy`` file, then its checksum.

    The checksum is the sum of all words before it. Damage within eight bytes in a row always
    changes it, other damage all but surely. A CRC-32 would make reading twice as slow.
    """
    header = _make_header(mask.shape)
    num_words = _count_words(mask.shape)
    content = np.zeros(num_words * _WORD.itemsize, np.uint8)
    content[: len(header)] = np.frombuffer(header, np.uint8)
    content[len(header) : len(header) + mask.size] = mask.reshape(-1)
    words = content.view(_WORD)
    words[-1] = words[:-1].sum()
    return content


def _read_mask(path: Path, size_hw: tuple[int, int], *, memory_map: bool) -> MaskArray | None:
    """Return the mask in a file of :meth:`MaskCache.load_mask`, None for any other file.

    ``np.load`` would parse the header, and fail in a dozen ways where it is damaged; only one
    header is right here.
    """
    header = _make_header(size_hw)
    num_bytes = _count_words(size_hw) * _WORD.itemsize
    try:
        with path.open("rb", buffering=0) as file:
            if memory_map:
                content = np.frombuffer(
                    mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8
                )
            else:
                content = np.empty(num_bytes + 1, np.uint8)
                content = content[: file.readinto(content.data)]
    except (OSError, ValueError):
        return None
    if content.size != num_bytes or content[: len(header)].tobytes() != header:
        return None
    words = content.view(_WORD)
    if words[:-1].sum() != words[-1]:
        return None
    height, width = size_hw
    return content[len(header) : len(header) + height * width].reshape(size_hw)


def _count_words(size_hw: tuple[int, ...]) -> int:
    """Return how many words a cache file has, its checksum included."""
    num_bytes = len(_make_header(size_hw)) + size_hw[0] * size_hw[1]
    return -(-num_bytes // _WORD.itemsize) + 1


@functools.cache
def _make_header(size_hw: tuple[int, ...]) -> bytes:
    header = io.BytesIO()
    description = {"descr": "|u1", "fortran_order": False, "shape": size_hw}
    np.lib.format.write_array_header_1_0(header, description)
    return header.getvalue()
