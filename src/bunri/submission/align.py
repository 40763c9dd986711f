"""Several submissions side by side: the masks of each photo, matched by id."""

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from bunri.core.contracts import MaskArray
from bunri.core.errors import SubmissionError
from bunri.submission.format import SUBMISSION_SIZE_PX, show
from bunri.submission.stream import read_submission


def align_submissions(
    paths: Sequence[Path], num_classes: int = 12
) -> Iterator[tuple[str, list[MaskArray]]]:
    """Yield each photo's id and its masks in several submissions, each uint8 (256, 256).

    The order is the first file's. Files in this order are read in flat memory; of others, rows that
    come too early are kept, packed. Raises SubmissionError at a fault; or, if the files have
    different photos, at the end, and the masks yielded before must be discarded.
    """
    first, *others = paths
    readers = [_Reader(path, num_classes) for path in others]
    for image_id, mask in read_submission(first, num_classes):
        masks = [mask]
        for reader in readers:
            found = reader.take(image_id)
            if found is not None:
                masks.append(found)
        if len(masks) == len(paths):
            yield image_id, masks
    problems = []
    for reader in readers:
        problems += [f"{show(name)} is in {first}, not in {reader.path}" for name in reader.missing]
        problems += [f"{show(name)} is in {reader.path}, not in {first}" for name in reader.early]
        problems += [f"{show(name)} is in {reader.path}, not in {first}" for name, _ in reader.rows]
    if problems:
        raise SubmissionError(
            "The submissions are not about the same photos:",
            problems=problems,
            hint="The order of rows does not matter; the set of photos does.",
        )


def pack_mask(mask: MaskArray) -> bytes:
    """Return a mask of a submission in a few kilobytes."""
    return zlib.compress(mask.tobytes(), 1)


def unpack_mask(packed: bytes) -> MaskArray:
    """Return a packed mask, uint8 (256, 256)."""
    shape = (SUBMISSION_SIZE_PX, SUBMISSION_SIZE_PX)
    return np.frombuffer(zlib.decompress(packed), np.uint8).reshape(shape)


class _Reader:
    """Reader of one file by id; ``missing`` lists the ids that the file lacks."""

    def __init__(self, path: Path, num_classes: int) -> None:
        self.path = path
        self.missing: list[str] = []
        self.rows = read_submission(path, num_classes)
        self.early: dict[str, bytes] = {}

    def take(self, image_id: str) -> MaskArray | None:
        packed = self.early.pop(image_id, None)
        if packed is not None:
            return unpack_mask(packed)
        for name, mask in self.rows:
            if name == image_id:
                return mask
            self.early[name] = pack_mask(mask)
        self.missing.append(image_id)
        return None
