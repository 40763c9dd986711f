"""Search for photos that show the same picture: equal pixels, or an edited copy.

A copy is found when it was resized (half to double), encoded again, mirrored, turned by
quarters, cropped by a tenth (of one side, or at each edge), brightened by a fifth, or all of
that together; it must lie inside the other photo. The search has two steps. First each photo's
*views* (all turns and mirrors, times 81 crops) are matched with every other photo at 8 x 8
pixels, in one matrix product per photo; that leaves few pairs. Then the view is laid over the
other photo at 48 x 48 pixels (:mod:`bunri.images.alignment`), and edges and colours are compared.

A photo without structure (a blank wall, even with light falling off towards a side) cannot be
recognised: only equal pixels make it a twin.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import numpy.typing as npt
from PIL import Image

from bunri.core.contracts import FloatArray, ImageArray, check_image
from bunri.core.progress import Advance
from bunri.images.alignment import (
    PICTURE_PX,
    align_picture,
    cut_picture,
    measure_agreement,
    measure_structure,
)

MIN_SIMILARITY = 0.86
"""Copies of real photos of 128 pixels and more reach 0.93, different photos 0.77 at most."""

_MIN_COARSE = 0.9  # copies reach 0.936
_MIN_STRUCTURE = 1.5  # of 256 levels; the flattest of 1,028 real photos has 2.7
_MAX_COLOR_DISTANCE = 20.0  # of 256 levels; copies stay below 13
_MIN_COLOR = 2.0  # of 256 levels; below, a photo is grey and has no colours to compare
_COLOR_PX = 16
_COARSE_PX = 8
_MARGINS = (0.0, 0.05, 0.1)
_SPANS = tuple((start, 1.0 - end) for start in _MARGINS for end in _MARGINS)
_NUM_TURNS = 8
_BLOCK = 4096  # photos compared at once, which bounds memory


@dataclass(frozen=True, slots=True, eq=False)
class Fingerprint:
    """Fingerprint of a photo; 3 kB.

    Attributes:
        pixel_hash: SHA-256 of size and pixels, 64 hex digits.
        luma: Brightness of the photo squeezed into a square, uint8 (48, 48).
        chroma: Colour differences Cb and Cr, uint8 (2, 16, 16).
    """

    pixel_hash: str
    luma: npt.NDArray[np.uint8]
    chroma: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Twins:
    """Two photos that show the same picture.

    Attributes:
        second: Position in the second, or in the same where there is only one.
        is_exact: Their pixels are equal.
        similarity: 1 for equal pixels, else their least agreement anywhere, 0.86 to 1.
    """

    first: int
    second: int
    is_exact: bool
    similarity: float


def fingerprint_photo(image: ImageArray) -> Fingerprint:
    """Return the fingerprint of a photo, uint8 (H, W, 3) RGB.

    Raises ImageError: wrong type or shape.
    """
    pixels = np.ascontiguousarray(check_image(image))
    small = Image.fromarray(pixels).resize((PICTURE_PX, PICTURE_PX), Image.Resampling.BILINEAR)
    planes = np.asarray(small.convert("YCbCr")).transpose(2, 0, 1)
    step = PICTURE_PX // _COLOR_PX
    tiles = planes[1:].reshape(2, _COLOR_PX, step, _COLOR_PX, step)
    chroma = np.rint(tiles.mean(axis=(2, 4))).astype(np.uint8)
    return Fingerprint(hash_pixels(pixels), np.ascontiguousarray(planes[0]), chroma)


def hash_pixels(image: ImageArray) -> str:
    """Return the SHA-256 of a photo's size and pixels, uint8 (H, W, 3): 64 hex digits."""
    digest = hashlib.sha256(f"{image.shape[0]}x{image.shape[1]}|".encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def find_twins(
    prints: Sequence[Fingerprint],
    others: Sequence[Fingerprint] | None = None,
    advance: Advance = lambda: None,
) -> list[Twins]:
    """Return every pair of photos that show the same picture.

    All pairs are compared: twice as many photos take four times as long.

    Args:
        prints: Fingerprints of the photos.
        others: Fingerprints of other photos, to find pairs across; without them pairs inside
            ``prints`` are found, with ``first < second``.
        advance: Function to call once for each of ``prints``.

    Returns:
        Pairs in ascending order of ``first``, then ``second``; two photos make at most one.
    """
    rows = _Group.collect(prints)
    columns = rows if others is None else _Group.collect(others)
    twins = []
    for pixel_hash, mine in rows.positions.items():
        theirs = columns.positions.get(pixel_hash, [])
        equal = combinations(mine, 2) if columns is rows else product(mine, theirs)
        twins += [Twins(i, j, True, 1.0) for i, j in equal]
    for (a, b), similarity in _find_near(rows, columns, len(prints), advance).items():
        mine = rows.positions[rows.prints[a].pixel_hash]
        theirs = columns.positions[columns.prints[b].pixel_hash]
        for i, j in product(mine, theirs):
            pair = (min(i, j), max(i, j)) if columns is rows else (i, j)
            twins.append(Twins(*pair, False, similarity))
    return sorted(twins, key=lambda pair: (pair.first, pair.second))


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """Distinct fingerprints, with an index of them for the search."""

    prints: list[Fingerprint]
    positions: dict[str, list[int]]  # pixel hash -> positions in the given sequence
    coarse: FloatArray  # (64, N), one unit column for each of ``prints``
    has_structure: npt.NDArray[np.bool_]  # (N,)

    @classmethod
    def collect(cls, prints: Sequence[Fingerprint]) -> "_Group":
        positions: dict[str, list[int]] = defaultdict(list)
        for position, item in enumerate(prints):
            positions[item.pixel_hash].append(position)
        unique = [prints[same[0]] for same in positions.values()]
        lumas = np.zeros((len(unique), PICTURE_PX, PICTURE_PX), np.float32)
        for luma, item in zip(lumas, unique, strict=True):
            luma[:] = item.luma
        whole = _make_averages([(0.0, 1.0)])[0]
        coarse = _normalize(whole @ lumas @ whole.T)
        structure = np.array([measure_structure(luma) for luma in lumas])
        return cls(unique, dict(positions), coarse.T.copy(), structure >= _MIN_STRUCTURE)


def _find_near(
    rows: _Group, columns: _Group, num_calls: int, advance: Advance
) -> dict[tuple[int, int], float]:
    """Return (place in rows, place in columns) -> similarity of pairs with unequal pixels."""
    found: dict[tuple[int, int], float] = {}
    for call in range(num_calls):
        for pair, source, target, view in _find_candidates(rows, columns, call, num_calls):
            if pair not in found:
                similarity = _compare(source, target, view)
                if similarity >= MIN_SIMILARITY:
                    found[pair] = similarity
        advance()
    return found


def _find_candidates(
    rows: _Group, columns: _Group, call: int, num_calls: int
) -> Iterator[tuple[tuple[int, int], Fingerprint, Fingerprint, int]]:
    """Yield (pair, photo with the view, whole photo, view) for one part of the photos.

    Either photo of a pair may be the copy, which shows a part of its original: the views of each
    are matched with the other whole photo. Inside one group each photo takes both parts anyway.
    """
    for a in _share_out(len(rows.prints), call, num_calls):
        for b, view in _match_views(rows, a, columns):
            pair = (min(a, b), max(a, b)) if columns is rows else (a, b)
            yield pair, rows.prints[a], columns.prints[b], view
    if columns is not rows:
        for b in _share_out(len(columns.prints), call, num_calls):
            for a, view in _match_views(columns, b, rows):
                yield (a, b), columns.prints[b], rows.prints[a], view


def _share_out(count: int, call: int, num_calls: int) -> range:
    """Return the ``call``-th of ``num_calls`` even parts of ``range(count)``."""
    return range(call * count // num_calls, (call + 1) * count // num_calls)


def _match_views(group: _Group, place: int, others: _Group) -> Iterator[tuple[int, int]]:
    """Yield (place in others, best view) of photos that may show a view of this one."""
    if not group.has_structure[place]:
        return
    views = _draw_views(group.prints[place].luma)
    for start in range(0, len(others.prints), _BLOCK):
        matches = views @ others.coarse[:, start : start + _BLOCK]  # (views, photos)
        is_near = matches.max(axis=0) >= _MIN_COARSE
        is_near &= others.has_structure[start : start + _BLOCK]
        for column in np.flatnonzero(is_near).tolist():
            if others.prints[start + column].pixel_hash != group.prints[place].pixel_hash:
                yield start + column, int(matches[:, column].argmax())


def _make_averages(spans: Iterable[tuple[float, float]]) -> FloatArray:
    """Return matrices (spans, 8, 48) that average a part of 48 values down to 8."""
    matrices = []
    for start, end in spans:
        edges = np.linspace(start, end, _COARSE_PX + 1)[:, None] * PICTURE_PX
        left = np.arange(PICTURE_PX)
        shares = (np.minimum(edges[1:], left + 1) - np.maximum(edges[:-1], left)).clip(0)
        matrices.append(shares / shares.sum(axis=1, keepdims=True))
    return np.array(matrices, np.float32)


def _turn(plane: FloatArray) -> FloatArray:
    """Return all turns and mirrors of (n, n) as (8, n, n)."""
    both = (plane, plane.T)
    return np.stack([p[::down, ::right] for p in both for down in (1, -1) for right in (1, -1)])


def _draw_views(luma: npt.NDArray[np.uint8]) -> FloatArray:
    """Return unit rows (8 turns * 9 spans of rows * 9 of columns, 64)."""
    averages = _AVERAGES.reshape(-1, PICTURE_PX)
    turned = _turn(luma.astype(np.float32))
    cells = np.matmul(averages @ turned, averages.T, dtype=np.float32)  # (8, 72, 72)
    spans, size = len(_SPANS), _COARSE_PX
    views = cells.reshape(_NUM_TURNS, spans, size, spans, size).swapaxes(2, 3)
    return _normalize(views.reshape(-1, size, size))


def _normalize(planes: FloatArray) -> FloatArray:
    """Return (N, h, w) as rows (N, h * w) of mean 0 and length 1; flat ones as zeros."""
    rows = planes.reshape(len(planes), planes.shape[1] * planes.shape[2])
    rows = rows - rows.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: FloatArray = rows / np.where(lengths > 1e-3, lengths, np.inf)
    return unit


def _compare(source: Fingerprint, target: Fingerprint, view: int) -> float:
    """Return the agreement of a view of ``source`` with ``target``; 0 if their colours differ."""
    turn, rows, columns = map(int, np.unravel_index(view, (_NUM_TURNS, len(_SPANS), len(_SPANS))))
    start = np.array([*_SPANS[rows], *_SPANS[columns]])
    wanted = target.luma.astype(np.float32)
    luma = _turn(source.luma.astype(np.float32))[turn]
    drawn, frame, gain = align_picture(luma, wanted, start)
    similarity = measure_agreement(drawn, wanted)
    if similarity < MIN_SIMILARITY:
        return similarity
    own, other = (photo.chroma.astype(np.float32) - 128.0 for photo in (source, target))
    if min(_measure_color(own), _measure_color(other)) < _MIN_COLOR:
        return similarity
    turned = np.stack([gain * cut_picture(_turn(plane)[turn], frame) for plane in own])
    return similarity if _measure_color(turned - other) <= _MAX_COLOR_DISTANCE else 0.0


def _measure_color(chroma: FloatArray) -> float:
    """Return the root mean square of the colour in (2, n, n)."""
    return float(np.sqrt((chroma**2).sum(axis=0).mean()))


_AVERAGES = _make_averages(_SPANS)
