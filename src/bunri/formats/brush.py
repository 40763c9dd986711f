"""Label Studio's packed run lengths of brush strokes.

This is the encoding of https://github.com/thi-ng/umbrella, ``packages/rle-pack``, applied to
images of four equal channels. The header is 32 bits for the number of values, 5 for the width of
a value less one, and four times 4 for the width of each kind of length less one. Blocks follow:
one bit for whether a value is repeated, two bits for the kind of length, the length less one, and
the value, or as many values as the length.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from bunri.core.errors import AnnotationError
from bunri.labels.components import find_runs

_CHANNELS = 4
_VALUE_BITS = 8
_LENGTH_BITS = (3, 4, 8, 16)
_LONGEST = 1 << _LENGTH_BITS[-1]


def encode_brush(
    crop: npt.NDArray[np.bool_], size_hw: tuple[int, int], left_top_px: tuple[int, int] = (0, 0)
) -> list[int]:
    """Return a region, bool (h, w) at (x, y) in the photo, as a list of bytes, 255 inside."""
    height, width = size_hw
    row, start, stop = find_runs(crop)
    shift = (row + left_top_px[1]) * width + left_top_px[0]
    limits = np.concatenate([[0], np.stack([start, stop], 1).ravel() + np.repeat(shift, 2)])
    lengths = np.diff(limits, append=height * width) * _CHANNELS
    bits = f"{height * width * _CHANNELS:032b}{_VALUE_BITS - 1:05b}"
    bits += "".join(f"{length - 1:04b}" for length in _LENGTH_BITS)
    bits += "".join(
        block
        for number, length in enumerate(lengths.tolist())
        for block in _encode_run(number % 2 * 255, length)
    )
    num_bytes = -(-len(bits) // 8)
    return list(int(bits.ljust(num_bytes * 8, "0"), 2).to_bytes(num_bytes, "big"))


def _encode_run(value: int, length: int) -> Iterator[str]:
    """Yield the blocks of a run; a run beyond the longest length is cut into several."""
    while length > 0:
        size = min(length, _LONGEST)
        kind = next(kind for kind, width in enumerate(_LENGTH_BITS) if size <= 1 << width)
        yield f"1{kind:02b}{size - 1:0{_LENGTH_BITS[kind]}b}{value:0{_VALUE_BITS}b}"
        length -= size


def decode_brush(codes: Sequence[object], size_hw: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return the region of a list of bytes, bool (H, W): where the last channel is not 0."""
    if not all(type(code) is int and 0 <= code < 256 for code in codes):
        raise AnnotationError("'rle' must be a list of integers from 0 to 255")
    bits = "".join(f"{code:08b}" for code in codes)
    position = 0

    def take(width: int) -> int:
        nonlocal position
        position += width
        if position > len(bits):
            raise AnnotationError("'rle' is cut off")
        return int(bits[position - width : position], 2)

    num_values, value_bits = take(32), take(5) + 1
    length_bits = [take(4) + 1 for _ in range(4)]
    num_expected = size_hw[0] * size_hw[1] * _CHANNELS
    if num_values != num_expected:
        raise AnnotationError(
            f"'rle' has {num_values} values; a photo of {size_hw[1]}x{size_hw[0]} has "
            f"{num_expected}"
        )
    values: list[int] = []
    lengths: list[int] = []
    missing = num_values
    while missing > 0:
        is_repeated = take(1)
        length = take(length_bits[take(2)]) + 1
        if is_repeated:
            values.append(take(value_bits))
            lengths.append(min(length, missing))
        else:
            singles = [take(value_bits) for _ in range(length)][:missing]
            values += singles
            lengths += [1] * len(singles)
        missing -= length
    return np.repeat(np.array(values) != 0, lengths).reshape(*size_hw, _CHANNELS)[..., -1]
