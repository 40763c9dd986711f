"""Records of a labelled data set in memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bunri.core.classes import ClassTable
from bunri.core.errors import ImageError, PathError
from bunri.core.files import is_file, join_under


@dataclass(frozen=True, slots=True, eq=False)
class Polygons:
    """The outline of an object, as one or more closed polygons whose areas add up.

    Each part is float64 (2 * points,): x0, y0, x1, y1, ... in pixels of the photo, origin at
    the top left corner, as in the COCO format.
    """

    parts: tuple[npt.NDArray[np.float64], ...]


@dataclass(frozen=True, slots=True, eq=False)
class RunLengths:
    """The pixels of an object as run lengths, down the columns, starting with a run of 0s.

    ``counts`` is int64 (runs,) and sums to height * width.
    """

    size_hw: tuple[int, int]
    counts: npt.NDArray[np.int64]


Segmentation = Polygons | RunLengths


@dataclass(frozen=True, slots=True, eq=False)
class Annotation:
    """One labelled object."""

    id: int
    photo_id: int
    category_id: int
    segmentation: Segmentation


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo as the JSON describes it; ``file_name`` is verbatim."""

    id: int
    file_name: str
    height_px: int
    width_px: int

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.height_px, self.width_px


@dataclass(frozen=True, slots=True)
class SoftLabels:
    """File of the class probabilities of a photo; ``file_name`` is relative to the JSON."""

    file_name: str
    sha256: str


@dataclass(frozen=True, slots=True, eq=False)
class LabelledSet:
    """Photos in file order, their annotations by photo id, and the meaning of the categories."""

    source: Path
    image_root: Path
    photos: tuple[Photo, ...]
    annotations: Mapping[int, tuple[Annotation, ...]]
    """Photo id -> its annotations in file order; a photo without any is absent."""
    category_names: Mapping[int, str]
    """Category id -> name, in id order."""
    table: ClassTable
    is_labelled: bool
    """False for a file without the key ``annotations``, like the competition's test.json."""
    licenses: tuple[str, ...] = ()
    """Names of the licences that the file declares for its photos."""
    warnings: tuple[str, ...] = ()
    index_of_category: Mapping[int, int] = field(default_factory=dict)
    """Category id -> index in ``table``."""
    ignored: Mapping[int, RunLengths] = field(default_factory=dict)
    """Photo id -> pixels to ignore; 255 in masks."""
    is_pseudo: bool = False
    """Whether the labels are a model's: useful to train on, no ground truth."""
    soft: Mapping[int, SoftLabels] = field(default_factory=dict)
    """Photo id -> its pseudo-labels as probabilities; see ``labels.soft``."""
    teacher_photos: frozenset[str] = frozenset()
    """Hashes of the photos that the teachers of pseudo-labels were trained on."""

    def path_of(self, photo: Photo) -> Path:
        """Return the path of a photo; it never leaves ``image_root``.

        Raises:
            PathError: The file name leaves the image root.
        """
        return join_under(self.image_root, photo.file_name)

    def find_missing_photos(self) -> list[str]:
        """Return one line for each photo that is not on disk or may not be read."""
        problems = []
        for photo in self.photos:
            try:
                if not is_file(self.path_of(photo)):
                    problems.append(f"photo {photo.id}: {photo.file_name!r} does not exist")
            except (PathError, ImageError) as error:
                problems.append(f"photo {photo.id}: {error.message}")
        return problems
