"""The words everyone shares: errors, the class table, array checks and limits.

Owns every fact that more than one part needs. Knows nothing of files, networks or commands,
and imports nothing of bunri, so a newcomer can start reading here.

The errors a user may meet; all end a command with exit code 2::

    BunriError
    +-- ConfigError           a setting is unknown, of the wrong type or out of range
    +-- InputError            something the user gave cannot be used
    |   +-- AnnotationError       the COCO JSON
    |   +-- ImageError            a photo
    |   +-- SubmissionError       a submission.csv
    |   +-- PathError             a path that is missing or leaves its root
    +-- ModelError            a bundle that is not one, or does not fit
    |   +-- WeightsError          pretrained weights that cannot be had
    +-- RunError              a run folder that is in use, taken, or cannot be resumed
    +-- OutputError           a result that cannot be written
    +-- MissingExtraError     an optional part of bunri that is not installed
"""

import difflib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

ImageArray = npt.NDArray[np.uint8]  # (H, W, 3), RGB, upright
MaskArray = npt.NDArray[np.uint8]  # (H, W), index into the class table, 255 = ignore
FloatArray = npt.NDArray[np.float32]

Tracker = Callable[[str, int], AbstractContextManager[Callable[[], None]]]
"""Opens a progress bar from a label and a total; what it gives is called after each item."""

BACKGROUND_INDEX = 0
IGNORE_INDEX = 255
"""Pixels of a mask with this value take no part in losses and scores."""
MAX_CLASSES = 255
"""Mask indices are uint8 and 255 is taken by IGNORE_INDEX."""

MAX_PHOTO_BYTES = 64 * 2**20
MAX_PHOTO_PIXELS = 120_000_000
"""Checked on the header, before a single pixel is decoded."""
MAX_PHOTOS_AT_ONCE = 4
"""Predicted side by side, a core each; photos and their results are in memory."""
MAX_JSON_BYTES = 512 * 2**20
"""A JSON takes six to eight times its size in memory; COCO's own largest file has 449 MiB."""
MAX_COORDINATE_PX = 100_000.0
"""Polygon points beyond this are a mistake; drawing them would need unbounded memory."""
MAX_OUTLINE_PX = 2_000_000.0
"""Length of an object's outline; drawing it takes about 50 bytes for each column it crosses."""
MAX_PROBLEMS_SHOWN = 20


class BunriError(Exception):
    """Something the user can put right.

    Args:
        message: What is wrong, with the value and the rule.
        problems: One line per fault, where several were found at once.
        hint: The next step.
    """

    def __init__(self, message: str, *, problems: Sequence[str] = (), hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.problems = tuple(problems)
        self.hint = hint

    def __str__(self) -> str:
        lines = [self.message]
        lines += [f"  - {problem}" for problem in self.problems[:MAX_PROBLEMS_SHOWN]]
        if len(self.problems) > MAX_PROBLEMS_SHOWN:
            lines.append(f"  - ... and {len(self.problems) - MAX_PROBLEMS_SHOWN} more")
        if self.hint:
            lines.append(self.hint)
        return "\n".join(lines)


class ConfigError(BunriError):
    """A setting is unknown, of the wrong type or out of range."""


class InputError(BunriError):
    """Something the user gave cannot be used."""


class AnnotationError(InputError):
    """The COCO JSON cannot be used."""


class ImageError(InputError):
    """A photo cannot be used."""


class SubmissionError(InputError):
    """A submission.csv cannot be used."""


class PathError(InputError):
    """A path is missing or leaves its root."""


class ModelError(BunriError):
    """A bundle is not one, is damaged, or does not fit."""


class WeightsError(ModelError):
    """Pretrained weights cannot be had."""


class RunError(BunriError):
    """A run folder is in use, taken, or cannot be resumed."""


class OutputError(BunriError):
    """A result cannot be written."""


class MissingExtraError(BunriError):
    """An optional part of bunri is not installed."""


@dataclass(frozen=True, slots=True)
class ClassInfo:
    """One class of waste: its names, its colour and where it goes.

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
    """The ordered classes of a data set; a mask holds positions in ``classes``.

    Position 0 is always the background.
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
    """Return a class name as it is compared: no outer spaces, no case."""
    return name.strip().casefold()


def suggest(value: str, allowed: Iterable[str], *, count: int = 3) -> str:
    """Return `` Did you mean 'x'? Allowed: ...`` for a word that is none of ``allowed``.

    Args:
        value: What the user wrote.
        allowed: Every word that would have been right; listed when there are at most 16.
        count: How many near words to name at most.
    """
    words = list(allowed)
    lowered = {word.lower(): word for word in words}
    near = difflib.get_close_matches(value.lower(), lowered, n=count, cutoff=0.6)
    text = f" Did you mean {' or '.join(repr(lowered[word]) for word in near)}?" if near else ""
    return text + (f" Allowed: {', '.join(words)}." if 0 < len(words) <= 16 else "")


def drop_controls(text: str, *, keep: str = "") -> str:
    """Return text from data with what could steer a terminal or turn a line around replaced.

    That is whatever is not printable: control characters, escapes, marks of writing direction,
    halves of characters. ``keep`` names those that may stay.
    """
    return "".join(c if c.isprintable() or c in keep else "\N{REPLACEMENT CHARACTER}" for c in text)


def summarize(error: BaseException) -> str:
    """Return the first line of a foreign error's text, without a full stop, to quote it."""
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")


def check_image(image: npt.NDArray[Any]) -> ImageArray:
    """Return ``image`` if it is uint8 (H, W, 3) with at least one pixel.

    Raises:
        ImageError: Wrong type or shape.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ImageError(
            f"An image must be uint8 (H, W, 3) RGB; this one is {image.dtype} {image.shape}."
        )
    return image


def check_mask(mask: npt.NDArray[Any], num_classes: int) -> MaskArray:
    """Return ``mask`` if it is uint8 (H, W) with values below ``num_classes`` or 255.

    Raises:
        InputError: Wrong type or shape, or a value outside the class table.
    """
    if mask.dtype != np.uint8 or mask.ndim != 2 or mask.size == 0:
        raise InputError(f"A mask must be uint8 (H, W); this one is {mask.dtype} {mask.shape}.")
    wrong = np.setdiff1d(np.unique(mask), [*range(num_classes), IGNORE_INDEX])
    if wrong.size:
        raise InputError(
            f"Mask values must be below {num_classes} or {IGNORE_INDEX} (ignore); "
            f"found {wrong.tolist()}."
        )
    return mask
