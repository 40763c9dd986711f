"""Label Studio's run lengths of a brush: bits packed as by the library rle-pack.

Owns the code of https://github.com/thi-ng/umbrella, ``packages/rle-pack``, for pictures of four
equal channels, which is how Label Studio uses it. Knows nothing of JSON.

32 bits say how many values follow, 5 how wide a value is (less one), four times 4 how wide each
kind of length is (less one). Then come blocks: one bit, whether a value is repeated; two bits,
which kind of length; the length (less one); and the value, or as many values.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bunri.core.errors import AnnotationError
from bunri.labels.components import find_runs

_CHANNELS = 4
_VALUE_BITS = 8
_LENGTH_BITS = (3, 4, 8, 16)
_HEADER_BITS = 32 + 5 + 4 * 4


def encode_brush(
    crop: npt.NDArray[np.bool_], size_hw: tuple[int, int], left_top_px: tuple[int, int] = (0, 0)
) -> list[int]:
    """Return a region as Label Studio's list of bytes: 255 inside, 0 outside.

    Args:
        crop: bool (h, w), the part of the photo that holds the region.
        size_hw: Height and width of the photo in pixels.
        left_top_px: Where in the photo ``crop`` lies.
    """
    num_pixels = size_hw[0] * size_hw[1]
    row, start, stop = find_runs(crop)
    shift = (row + left_top_px[1]) * size_hw[1] + left_top_px[0]
    limits = np.concatenate([[0], np.stack([start, stop], 1).ravel() + np.repeat(shift, 2)])
    lengths = np.diff(limits, append=num_pixels) * _CHANNELS
    values = np.arange(len(lengths)) % 2 * 255
    # Where a run ends with its row and the next one begins the row below, nothing is between.
    values, lengths = values[lengths > 0], lengths[lengths > 0]
    # Runs beyond the longest length are cut into several blocks.
    longest = 1 << _LENGTH_BITS[-1]
    blocks = -(-lengths // longest)
    values, is_last = np.repeat(values, blocks), np.zeros(blocks.sum(), np.bool_)
    is_last[np.cumsum(blocks) - 1] = True
    sizes = np.where(is_last, np.repeat((lengths - 1) % longest + 1, blocks), longest)
    kind = np.searchsorted([1 << bits for bits in _LENGTH_BITS[:-1]], sizes)
    width = np.take(_LENGTH_BITS, kind)
    words = (4 | kind) << width  # 1 for "repeated", and the kind
    words = (words | sizes - 1) << _VALUE_BITS | values
    widths = 3 + width + _VALUE_BITS
    header = num_pixels * _CHANNELS << 5 | _VALUE_BITS - 1
    for bits in _LENGTH_BITS:
        header = header << 4 | bits - 1
    return _pack_words(np.concatenate([[header], words]), np.concatenate([[_HEADER_BITS], widths]))


def _pack_words(words: npt.NDArray[np.int64], widths: npt.NDArray[np.int64]) -> list[int]:
    """Return the lowest ``widths`` bits of ``words``, one after the other, as bytes."""
    place = np.repeat(np.cumsum(widths), widths) - 1 - np.arange(widths.sum())
    bits = np.repeat(words, widths) >> place & 1
    packed: list[int] = np.packbits(bits.astype(np.uint8)).tolist()
    return packed


def decode_brush(codes: Sequence[object], size_hw: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return the region that Label Studio's list of bytes means: where the last channel is not 0.

    Args:
        codes: Integers from 0 to 255.
        size_hw: Height and width of the photo in pixels.

    Returns:
        bool (H, W).

    Raises:
        AnnotationError: No such list, cut off, or of another size.
    """
    if not all(type(code) is int and 0 <= code < 256 for code in codes):
        raise AnnotationError("'rle' must be a list of integers from 0 to 255")
    content = bytes(codes)  # type: ignore[arg-type]  # (integers, as just checked)
    if len(content) * 8 < _HEADER_BITS:
        raise AnnotationError(f"'rle' has {len(content)} bytes; it is cut off")
    header = int.from_bytes(content[:7], "big") >> 7 * 8 - _HEADER_BITS
    num_values, value_bits = header >> 21, (header >> 16 & 31) + 1
    num_expected = size_hw[0] * size_hw[1] * _CHANNELS
    if num_values != num_expected:
        raise AnnotationError(
            f"'rle' has {num_values} values; a photo of {size_hw[1]}x{size_hw[0]} has "
            f"{num_expected}"
        )
    length_bits = [(header >> shift & 15) + 1 for shift in (12, 8, 4, 0)]
    values, lengths = _read_blocks(content, num_values, value_bits, length_bits)
    is_inside = np.repeat(np.array(values) != 0, lengths)
    return is_inside.reshape(*size_hw, _CHANNELS)[..., -1]


def _read_blocks(
    content: bytes, num_values: int, value_bits: int, length_bits: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Return values and how often each is repeated; lengths sum to ``num_values``."""
    values: list[int] = []
    lengths: list[int] = []
    position, missing, end = _HEADER_BITS, num_values, len(content) * 8
    while missing > 0:
        # A block's head and first value: at most 3 + 16 + 32 bits, so 8 bytes hold them.
        start = position >> 3
        window = int.from_bytes(content[start : start + 8].ljust(8, b"\0"), "big")
        window = window << (position & 7) & (1 << 64) - 1
        width = length_bits[window >> 61 & 3]
        length = (window << 3 & (1 << 64) - 1) >> 64 - width
        length, position = length + 1, position + 3 + width
        is_repeated = window >> 63
        if is_repeated:
            values.append(window >> 61 - width - value_bits & (1 << value_bits) - 1)
            lengths.append(min(length, missing))
            position += value_bits
        else:
            stop = position + length * value_bits
            if stop > end:
                break
            singles = _read_values(content, position, stop, value_bits)[:missing]
            values += singles
            lengths += [1] * len(singles)
            position = stop
        missing -= length
        if position > end:
            break
    if missing > 0 or position > end:
        raise AnnotationError("'rle' is cut off")
    return values, lengths


def _read_values(content: bytes, start: int, stop: int, value_bits: int) -> list[int]:
    """Return the values between two bits."""
    within = np.frombuffer(content, np.uint8)[start >> 3 : -(-stop >> 3)]
    bits = np.unpackbits(within)[start & 7 :][: stop - start].reshape(-1, value_bits)
    values: list[int] = (bits @ (1 << np.arange(value_bits, dtype=np.int64)[::-1])).tolist()
    return values
