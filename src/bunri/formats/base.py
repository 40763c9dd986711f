"""The description of a label format that every format file provides."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from bunri.core.classes import ClassTable
from bunri.core.progress import Progress, show_nothing
from bunri.labels.records import LabelledSet, Photo, Segmentation
from bunri.labels.rules import OverlapRule


@dataclass(frozen=True, slots=True, eq=False)
class ReadOptions:
    """Choices of the user for reading labels."""

    image_root: Path | None = None
    """Folder of the photos; None for the format's usual place."""
    table: ClassTable | None = None
    """Class table; None for that of the format, or one made of the class names found."""
    like: LabelledSet | None = None
    """Set whose classes, category ids and photo ids are shared; takes precedence over ``table``."""
    photos: Sequence[Photo] = ()
    """Photos with known names and sizes, for formats that do not store them."""
    progress: Progress = show_nothing

    @property
    def chosen_table(self) -> ClassTable | None:
        """Return the class table that the user chose."""
        return self.like.table if self.like else self.table


Reshape = Callable[[Segmentation, tuple[int, int]], Sequence[Segmentation]]
"""Function of an outline and the photo's (height, width) that returns the objects it becomes."""


@dataclass(frozen=True, slots=True)
class Format:
    """A label format."""

    name: str
    """Name for ``--to`` and ``--from``."""
    title: str
    """Name in messages."""
    suffix: str
    """Suffix of the file, with its dot; empty if the format is a folder."""
    read: Callable[[Path, ReadOptions], LabelledSet]
    write: Callable[[LabelledSet, Path, OverlapRule, Progress], None]
    """Function that writes a set of reshaped objects into an empty folder or a new file."""
    reshape: Reshape | None = None
    """Function that turns objects into such that the format can store; None for masks only."""
    file_suffixes: tuple[str, ...] = ()
    """Suffixes of the files by which the format is recognised."""
    recognize: Callable[[PurePath, bytes], str] = lambda _path, _head: ""
    """Function of a file's path below the folder and its first 64 KiB that returns what shows
    that the file has this format, empty if nothing does."""
    photo_folder: str = ""
    """Folder of the photos, below the folder or beside the file."""
    is_layered: bool = True
    """Whether later objects lie on top of earlier ones."""
    keeps_background: bool = True
    """Whether objects may be of the background class."""
    needs_photos: bool = False
    """Whether the tool cannot open labels without their photos."""

    @property
    def is_folder(self) -> bool:
        """Return whether the format is a folder of files."""
        return not self.suffix


def start_of_text(head: bytes) -> str:
    """Return the first bytes of a file as text, without byte order mark and leading spaces."""
    return head.decode("utf-8-sig", "replace").lstrip()
