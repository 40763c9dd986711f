"""Class tables: the ordered classes that mask indices stand for."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from bunri.core.contracts import IGNORE_INDEX
from bunri.core.errors import InputError, suggest

MAX_CLASSES = 255
"""Mask indices are uint8, and 255 is IGNORE_INDEX."""


@dataclass(frozen=True, slots=True)
class ClassInfo:
    """One class of waste: its names, its colour and the bin it belongs in.

    ``bin`` and ``reason`` follow the Korean household rules of separate disposal.
    """

    name: str
    name_ko: str
    color_rgb: tuple[int, int, int]
    bin: str = ""
    bin_ko: str = ""
    reason: str = ""
    reason_ko: str = ""


@dataclass(frozen=True, slots=True)
class ClassTable:
    """The ordered classes of a data set; mask values are positions in ``classes``.

    Position 0 is always the background.

    Raises:
        InputError: Fewer than 2 or more than 255 classes, or a name given twice.
    """

    classes: tuple[ClassInfo, ...]

    def __post_init__(self) -> None:
        if not 1 < len(self.classes) <= MAX_CLASSES:
            raise InputError(
                f"A class table needs 2 to {MAX_CLASSES} classes, background included; "
                f"this one has {len(self.classes)}."
            )
        counts = Counter(normalize_name(name) for name in self.names)
        doubles = sorted(name for name in self.names if counts[normalize_name(name)] > 1)
        if doubles:
            raise InputError(f"Class names must be unique; found more than once: {doubles}.")

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """English names in index order."""
        return tuple(c.name for c in self.classes)

    @property
    def palette_rgb(self) -> npt.NDArray[np.uint8]:
        """Colours as (256, 3) uint8, row = mask index; unused rows black, 255 white."""
        palette = np.zeros((256, 3), np.uint8)
        palette[: len(self)] = [c.color_rgb for c in self.classes]
        palette[IGNORE_INDEX] = 255
        return palette

    def index_of(self, name: str) -> int:
        """Return the mask index of a class name; case and outer spaces do not matter.

        Raises:
            InputError: The table has no such class; the nearest names are listed.
        """
        wanted = normalize_name(name)
        for index, info in enumerate(self.classes):
            if normalize_name(info.name) == wanted:
                return index
        raise InputError(f"There is no class {name!r}.{suggest(name, self.names)}")

    def to_json(self) -> list[dict[str, Any]]:
        """Return the table as plain values for ``bunri.json``."""
        return [asdict(info) for info in self.classes]

    @classmethod
    def from_json(cls, rows: Iterable[dict[str, Any]]) -> Self:
        """Rebuild a table written by :meth:`to_json`.

        Raises:
            InputError: A row lacks a name, carries unknown keys or a value of the wrong type.
        """
        try:
            infos = [ClassInfo(**{**row, "color_rgb": tuple(row["color_rgb"])}) for row in rows]
        except (TypeError, KeyError) as error:
            raise InputError(f"The class table cannot be read: {error}.") from error
        for info in infos:
            texts = (info.name, info.name_ko, info.bin, info.bin_ko, info.reason, info.reason_ko)
            channels = info.color_rgb
            is_color = len(channels) == 3 and all(type(v) is int and 0 <= v < 256 for v in channels)
            if not is_color or not all(isinstance(text, str) for text in texts):
                raise InputError(f"The class table cannot be read: {info} is not a class.")
        return cls(tuple(infos))


def normalize_name(name: str) -> str:
    """Return a class name in the form in which names are compared: stripped, case-folded."""
    return name.strip().casefold()
