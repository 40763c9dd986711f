"""One row of submission.csv: from a mask to bytes and from bytes to a mask.

The format is what pandas wrote for the competition's notebook, ``to_csv(index=False)``:
image_id, a comma, then the pixels row by row, each as ``str(int)``, one space between two.
image_id stands in double quotes only when it holds a comma, a quote or a line end; needless
quotes around it are accepted, since every CSV reader removes them.
"""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bunri.core.contracts import IGNORE_INDEX, MaskArray
from bunri.core.errors import InputError, SubmissionError

SUBMISSION_SIZE_PX = 256
"""Height and width of every mask in a submission."""
HEADER = "image_id,PredictionString"
MAX_ID_BYTES = 4096
"""The longest path Linux knows; a longer image_id is a missing comma or an unclosed quote."""

NUM_PIXELS = SUBMISSION_SIZE_PX * SUBMISSION_SIZE_PX
_MAX_DIGITS = 3  # mask values are uint8
_SHOWN_CHARACTERS = 60
_NEEDS_QUOTES = re.compile(r'[,"\r\n]')
# Possessive, so that a quote never closed costs one pass over the line and no more.
QUOTED_FIELD = re.compile(rb'"((?:[^"]++|"")*+)"')
_NEEDLESS_SPACE = re.compile(rb"^ |(?<= ) | \Z")
_DIGITS_OF = np.frombuffer(
    b"".join(f"{value} ".encode().ljust(4, b"\0") for value in range(256)), np.uint32
)
"""Four bytes for each mask value: its digits, a space, and NULs that are removed."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of a submission.csv.

    Attributes:
        row: 1-based data row, blank lines not counted; the header is row 0.
        column: ``header``, ``image_id`` or ``PredictionString``.
        value_position: 1-based pixel number inside PredictionString, where there is one.
        message: Description with the value and the rule; free of control characters.
    """

    row: int
    column: str
    value_position: int | None
    message: str

    def __str__(self) -> str:
        if self.row == 0:
            return f"header: {self.message}"
        pixel = "" if self.value_position is None else f", pixel {self.value_position:,}"
        return f"row {self.row:,}, {self.column}{pixel}: {self.message}"


@dataclass(frozen=True, slots=True)
class ParsedRow:
    """Content of one row; ``image_id`` and ``mask`` are None where they cannot be read."""

    image_id: str | None
    mask: MaskArray | None
    faults: tuple[Fault, ...]


def shrink_mask(mask: MaskArray) -> MaskArray:
    """Return a mask at the size of a submission, by nearest neighbour.

    Output pixel (i, j) is input pixel (i * H // 256, j * W // 256): for 512 x 512 that is
    ``mask[::2, ::2]``. It is the rule of OpenCV's INTER_NEAREST in whole numbers; OpenCV
    computes it in floating point and takes the pixel before for a few odd sizes.

    Args:
        mask: (H, W) uint8, any values, H and W at least 1; smaller than 256 is enlarged.

    Returns:
        (256, 256) uint8, a copy.

    Raises:
        InputError: Wrong type or shape.
    """
    if mask.dtype != np.uint8 or mask.ndim != 2 or mask.size == 0:
        raise InputError(f"A mask must be uint8 (H, W); this one is {mask.dtype} {mask.shape}.")
    height, width = mask.shape
    shrunk: MaskArray = mask[choose_pixels((height, width))]
    return shrunk


def choose_pixels(size_hw: tuple[int, int]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the rows (256, 1) and columns (256,) of a photo that are in a submission."""
    height, width = size_hw
    steps = np.arange(SUBMISSION_SIZE_PX)
    rows, columns = steps * height // SUBMISSION_SIZE_PX, steps * width // SUBMISSION_SIZE_PX
    return rows[:, np.newaxis], columns


def show(content: str | bytes) -> str:
    """Return file content for a message: short, quoted, control characters escaped."""
    if isinstance(content, bytes) and is_text(content):
        content = content.decode()
    dots = "..." if len(content) > _SHOWN_CHARACTERS else ""
    return repr(content[:_SHOWN_CHARACTERS]) + dots


def is_text(content: bytes) -> bool:
    """Return whether the bytes are UTF-8."""
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def encode_row(image_id: str, mask: npt.NDArray[Any], row: int, num_classes: int) -> bytes:
    """Return one row of the file, line feed included.

    Args:
        image_id: ``file_name`` of the COCO file, verbatim.
        mask: (256, 256) uint8, values 0 to ``num_classes`` - 1.
        row: 1-based number of the row, for messages.
        num_classes: Classes of the table, background included; at most 255.

    Raises:
        SubmissionError: The mask or the id does not fit; the message names row and pixel.
    """
    return _encode_image_id(image_id, row) + b"," + _encode_mask(mask, row, num_classes) + b"\n"


def _encode_image_id(image_id: str, row: int) -> bytes:
    quoted = f'"{image_id.replace(chr(34), chr(34) * 2)}"'
    try:
        encoded = (quoted if _NEEDS_QUOTES.search(image_id) else image_id).encode()
    except UnicodeEncodeError as error:
        message = f"{show(image_id)} cannot be written as UTF-8; rename the photo."
        raise SubmissionError(str(Fault(row, "image_id", None, message))) from error
    if not 0 < len(encoded) <= MAX_ID_BYTES:
        message = f"an id needs 1 to {MAX_ID_BYTES:,} bytes; {show(image_id)} has {len(encoded):,}."
        raise SubmissionError(str(Fault(row, "image_id", None, message)))
    return encoded


def _encode_mask(mask: npt.NDArray[Any], row: int, num_classes: int) -> bytes:
    expected = (SUBMISSION_SIZE_PX, SUBMISSION_SIZE_PX)
    if mask.dtype != np.uint8 or mask.shape != expected:
        message = (
            f"the mask must be uint8 {expected}; it is {mask.dtype} {mask.shape}. "
            "shrink_mask makes it fit."
        )
        raise SubmissionError(str(Fault(row, "PredictionString", None, message)))
    values = mask.ravel()
    if values.max() >= num_classes:
        position = int(np.argmax(values >= num_classes))
        message = _explain_value(b"%d" % values[position], num_classes)
        raise SubmissionError(str(Fault(row, "PredictionString", position + 1, message + ".")))
    padded: bytes = _DIGITS_OF[values].tobytes()
    return padded.translate(None, b"\0")[:-1]


def parse_row(body: bytes, row: int, num_classes: int) -> ParsedRow:
    """Return the content of one row and every fault in it.

    Args:
        body: The row without its line end.
        row: 1-based number of the row, for the faults.
        num_classes: Classes of the table, background included; at most 255.

    Returns:
        The id and the mask, (256, 256) uint8 with values 0 to ``num_classes`` - 1.
    """
    image_id, rest, message = _parse_image_id(body)
    faults = [Fault(row, "image_id", None, message)] if message else []
    mask = None
    if rest is not None:
        mask, more = _parse_fields(rest, row, num_classes)
        faults += more
    return ParsedRow(image_id, mask, tuple(faults))


def _parse_image_id(body: bytes) -> tuple[str | None, bytes | None, str]:
    """Return the id, the bytes from the comma on, and the fault of the id or an empty text."""
    if body.startswith(b'"'):
        quoted = QUOTED_FIELD.match(body)
        if quoted is None or body[quoted.end() : quoted.end() + 1] not in (b"", b","):
            message = f"{show(body)} starts with a quote that is not closed before a comma"
            return None, None, message
        raw, rest = quoted[1].replace(b'""', b'"'), body[quoted.end() :]
    else:
        raw = body.partition(b",")[0]
        rest = body[len(raw) :]
        if b'"' in raw or b"\r" in raw:
            return None, rest, f"{show(raw)} holds a quote or carriage return and is not quoted"
    if not 0 < len(raw) <= MAX_ID_BYTES:
        return None, rest, f"an id needs 1 to {MAX_ID_BYTES:,} bytes; this has {len(raw):,}"
    if not is_text(raw):
        return None, rest, f"{show(raw)} is not UTF-8 text"
    return raw.decode(), rest, ""


def _parse_fields(rest: bytes, row: int, num_classes: int) -> tuple[MaskArray | None, list[Fault]]:
    num_fields = rest.count(b",") + 1
    if num_fields == 2:
        return decode_mask(rest[1:], row, num_classes)
    message = (
        f"the row has {num_fields:,} field{'s' if num_fields > 1 else ''}; the rule is 2, "
        "one comma between image_id and the pixels, and quotes around an id with a comma"
    )
    return None, [Fault(row, "PredictionString", None, message)]


def decode_mask(text: bytes, row: int, num_classes: int) -> tuple[MaskArray | None, list[Fault]]:
    """Return the mask in a PredictionString, or None and its faults.

    The first fault of each kind (spaces, values, number of pixels) is returned.

    Returns:
        (256, 256) uint8 with values 0 to ``num_classes`` - 1, and no faults; or None.
    """
    plain = _decode_plain_mask(text, num_classes)
    if plain is not None:
        return plain, []
    # Byte by byte and not value by value: arrays of bytes are small and quick, arrays of
    # positions are neither. ``at(k)`` is the bytes k places on, with spaces around the text.
    raw = np.frombuffer(b" " * _MAX_DIGITS + text + b" ", np.uint8)
    is_filled = raw != ord(" ")
    digits = raw - np.uint8(ord("0"))  # all but digits wrap around to above 9

    def at(shift: int) -> slice:
        return slice(_MAX_DIGITS + shift, _MAX_DIGITS + shift + len(text))

    run = is_filled[at(0)]  # bytes that end a run of at least one, two, three ... in a value
    values = (run * digits[at(0)]).astype(np.uint16)
    for place in range(1, _MAX_DIGITS):
        run = run & is_filled[at(-place)]
        if not run.any():
            break
        values += (run * digits[at(-place)]).astype(np.uint16) * 10**place
    is_last = is_filled[at(0)] & ~is_filled[at(1)]
    is_first = is_filled[at(0)] & ~is_filled[at(-1)]
    wrong = (is_last & (values >= num_classes)) | (run & is_filled[at(-_MAX_DIGITS)])
    wrong |= is_filled[at(0)] & (digits[at(0)] > 9)
    wrong |= is_first & ~is_last & (digits[at(0)] == 0)  # 07 is no str(int)
    pixels: MaskArray = values.astype(np.uint8).compress(is_last)  # far quicker than [is_last]
    is_spaced = len(text) - np.count_nonzero(is_filled) == pixels.size - 1
    if pixels.size == NUM_PIXELS and is_spaced and not wrong.any():
        return pixels.reshape(SUBMISSION_SIZE_PX, SUBMISSION_SIZE_PX), []
    return None, _explain_pixels(text, row, num_classes, is_last, wrong)


def _decode_plain_mask(text: bytes, num_classes: int) -> MaskArray | None:
    """Return the mask if the row has no fault and no value of three digits, as nearly all rows.

    Several times as quick as the search for faults, since everything fits in bytes.
    """
    raw = np.frombuffer(b" " + text + b" ", np.uint8)
    digits = raw - np.uint8(ord("0"))  # all but digits wrap around to above 9
    is_digit = digits <= 9
    num_spaces = np.count_nonzero(raw == ord(" ")) - 2
    if num_spaces != NUM_PIXELS - 1 or np.count_nonzero(is_digit) + num_spaces != len(text):
        return None
    is_last = is_digit[1:-1] & ~is_digit[2:]
    is_second = is_digit[1:-1] & is_digit[:-2]
    if (is_second[1:] & is_second[:-1]).any() or (is_second & (digits[:-2] == 0)).any():
        return None  # a third digit, or a leading zero
    values = digits[1:-1] + is_second * digits[:-2] * np.uint8(10)
    pixels: MaskArray = values.compress(is_last)  # far quicker than [is_last]
    # So many values and one space fewer: there is one between any two, and none elsewhere.
    if pixels.size != NUM_PIXELS or pixels.max() >= num_classes:
        return None
    return pixels.reshape(SUBMISSION_SIZE_PX, SUBMISSION_SIZE_PX)


def _explain_pixels(
    text: bytes,
    row: int,
    num_classes: int,
    is_last: npt.NDArray[np.bool_],
    wrong: npt.NDArray[np.bool_],
) -> list[Fault]:
    """Return the first fault of each kind, from the last byte of each value and wrong bytes."""
    column = "PredictionString"
    num_pixels = int(np.count_nonzero(is_last))
    faults = []
    needless = _NEEDLESS_SPACE.search(text)
    if needless:
        before = int(np.count_nonzero(is_last[: needless.start()]))
        where = "between two values"
        if before == 0:
            where = "before the first value"
        elif before == num_pixels:
            where = "after the last value"
        message = f"there is a space too many {where}; the rule is one space between two values"
        faults.append(Fault(row, column, max(1, min(before + 1, num_pixels)), message))
    if wrong.any():
        first = int(np.argmax(wrong))
        end = text.find(b" ", first)
        token = text[text.rfind(b" ", 0, first) + 1 : end if end >= 0 else None]
        message = _explain_value(token, num_classes)
        wrong_values = np.searchsorted(np.flatnonzero(is_last), np.flatnonzero(wrong))
        others = np.unique(wrong_values).size - 1
        if others:
            message += f"; {others:,} more of this row are wrong"
        faults.append(Fault(row, column, int(wrong_values[0]) + 1, message))
    if num_pixels != NUM_PIXELS:
        message = f"there are {num_pixels:,} pixels; the rule is {NUM_PIXELS:,} (256 rows of 256)"
        if num_pixels > NUM_PIXELS:
            message += "; shrink_mask makes a larger mask fit"
        faults.append(Fault(row, column, None, message))
    return faults


def _explain_value(token: bytes, num_classes: int) -> str:
    rule = f"the rule is an integer from 0 to {num_classes - 1}"
    if token == str(IGNORE_INDEX).encode():
        return f"{IGNORE_INDEX} means ignore and is no class; {rule}"
    if not token.removeprefix(b"-").isdigit():
        return f"{show(token)} is not an integer; {rule}, such as 7"
    if token.startswith(b"0"):
        return f"{show(token)} has a leading zero; {rule}, such as 7"
    return f"{show(token)} is out of range; {rule}"
