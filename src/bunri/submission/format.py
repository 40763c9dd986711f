"""One row of submission.csv: from a mask to bytes and from bytes to a mask.

The format is what pandas wrote for the competition's notebook, ``to_csv(index=False)``:
image_id, a comma, then the pixels row by row, each as ``str(int)``, one space between two.
image_id stands in double quotes only when it holds a comma, a quote or a line end; needless
quotes around it are accepted, since every CSV reader removes them.
"""

import re
from dataclasses import dataclass
from typing import Any, Literal

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
_SHOWN_CHARACTERS = 60
_NEEDS_QUOTES = re.compile(r'[,"\r\n]')
# Possessive, so that a quote never closed costs one pass over the line and no more.
QUOTED_FIELD = re.compile(rb'"((?:[^"]++|"")*+)"')
_DIGITS_OF = np.frombuffer(
    b"".join(f"{value} ".encode().ljust(4, b"\0") for value in range(256)), np.uint32
)
"""Four bytes for each mask value: its digits, a space, and NULs that are removed."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of a submission.csv; the message has value and rule, and no control characters."""

    row: int
    """1-based data row, blank lines not counted; the header is row 0."""
    column: Literal["header", "image_id", "PredictionString"]
    message: str
    value_position: int | None = None
    """1-based pixel number inside PredictionString, where there is one."""

    def __str__(self) -> str:
        if self.row == 0:
            return f"header: {self.message}"
        pixel = "" if self.value_position is None else f", pixel {self.value_position:,}"
        return f"row {self.row:,}, {self.column}{pixel}: {self.message}"


def shrink_mask(mask: MaskArray) -> MaskArray:
    """Return a mask, uint8 (H, W) of any size and values, at the size of a submission.

    Output pixel (i, j) is input pixel (i * H // 256, j * W // 256): for 512 x 512 that is
    ``mask[::2, ::2]``. It is the rule of OpenCV's INTER_NEAREST in whole numbers; OpenCV
    computes it in floating point and takes the pixel before for a few odd sizes.

    Raises InputError for a wrong type or shape.
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
    """Return one row of the file, line feed included; raise SubmissionError if it does not fit."""
    quoted = f'"{image_id.replace(chr(34), chr(34) * 2)}"'
    try:
        encoded = (quoted if _NEEDS_QUOTES.search(image_id) else image_id).encode()
    except UnicodeEncodeError as error:
        message = f"{show(image_id)} cannot be written as UTF-8; rename the photo."
        raise SubmissionError(str(Fault(row, "image_id", message))) from error
    if not 0 < len(encoded) <= MAX_ID_BYTES:
        message = f"an id needs 1 to {MAX_ID_BYTES:,} bytes; {show(image_id)} has {len(encoded):,}."
        raise SubmissionError(str(Fault(row, "image_id", message)))
    expected = (SUBMISSION_SIZE_PX, SUBMISSION_SIZE_PX)
    if mask.dtype != np.uint8 or mask.shape != expected:
        message = (
            f"the mask must be uint8 {expected}; it is {mask.dtype} {mask.shape}. "
            "shrink_mask makes it fit."
        )
        raise SubmissionError(str(Fault(row, "PredictionString", message)))
    values = mask.ravel()
    if values.max() >= num_classes:
        position = int(np.argmax(values >= num_classes))
        message = _explain_value(b"%d" % values[position], num_classes) + "."
        raise SubmissionError(str(Fault(row, "PredictionString", message, position + 1)))
    padded: bytes = _DIGITS_OF[values].tobytes()
    return b"%b,%b\n" % (encoded, padded.translate(None, b"\0")[:-1])


def parse_row(
    body: bytes, row: int, num_classes: int
) -> tuple[str | None, MaskArray | None, list[Fault]]:
    """Return id, mask and faults of a row without its line end; None is what cannot be read."""
    image_id, rest, message = _parse_image_id(body)
    faults = [Fault(row, "image_id", message)] if message else []
    if rest is None:
        return image_id, None, faults
    num_fields = rest.count(b",") + 1
    if num_fields == 2:
        mask, more = decode_mask(rest[1:], row, num_classes)
        return image_id, mask, faults + more
    message = (
        f"the row has {num_fields:,} field{'s' if num_fields > 1 else ''}; the rule is 2, "
        "one comma between image_id and the pixels, and quotes around an id with a comma"
    )
    return image_id, None, [*faults, Fault(row, "PredictionString", message)]


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


def decode_mask(text: bytes, row: int, num_classes: int) -> tuple[MaskArray | None, list[Fault]]:
    """Return the mask, uint8 (256, 256); or None and the first fault of each kind."""
    plain = _decode_plain_mask(text, num_classes)
    if plain is not None:
        return plain, []
    value_of = {b"%d" % value: value for value in range(num_classes)}
    tokens = text.split(b" ") if text else []
    if len(tokens) == NUM_PIXELS and value_of.keys() >= set(tokens):
        pixels = np.frombuffer(bytearray(map(value_of.__getitem__, tokens)), np.uint8)
        return pixels.reshape(SUBMISSION_SIZE_PX, SUBMISSION_SIZE_PX), []
    return None, _explain_pixels(tokens, row, num_classes)


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


def _explain_pixels(tokens: list[bytes], row: int, num_classes: int) -> list[Fault]:
    """Return the first fault of each kind; tokens are what single spaces part."""
    values = [token for token in tokens if token]
    num_pixels = len(values)
    faults = []
    if num_pixels < len(tokens):
        before = tokens.index(b"")
        places = {num_pixels: "after the last value", 0: "before the first value"}
        where = places.get(before, "between two values")
        message = f"there is a space too many {where}; the rule is one space between two values"
        position = max(1, min(before + 1, num_pixels))
        faults.append(Fault(row, "PredictionString", message, position))
    right = {b"%d" % value for value in range(num_classes)}
    wrong = [position for position, token in enumerate(values) if token not in right]
    if wrong:
        message = _explain_value(values[wrong[0]], num_classes)
        if len(wrong) > 1:
            message += f"; {len(wrong) - 1:,} more of this row are wrong"
        faults.append(Fault(row, "PredictionString", message, wrong[0] + 1))
    if num_pixels != NUM_PIXELS:
        message = f"there are {num_pixels:,} pixels; the rule is {NUM_PIXELS:,} (256 rows of 256)"
        if num_pixels > NUM_PIXELS:
            message += "; shrink_mask makes a larger mask fit"
        faults.append(Fault(row, "PredictionString", message))
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
