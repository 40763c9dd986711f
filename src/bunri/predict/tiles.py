"""Prediction of a photo in overlapping tiles that blend into each other.

Each tile counts most in its middle, where a network sees the most around a pixel, and fades as the
square of a sine to its edges. Tiles of a row are added up in a band as high as a tile; rows that
the next row of tiles does not reach are divided by the sum of weights and stored, so that only one
band is in memory.
"""

from collections.abc import Callable

import numpy as np

from bunri.core.contracts import FloatArray, ImageArray
from bunri.images.planes import StoredPlanes

PredictTile = Callable[[ImageArray], FloatArray]
"""Function from a tile, uint8 (h, w, 3), to its probabilities, float32 (C, h, w)."""


def place_tiles(length_px: int, tile_px: int, overlap: float) -> list[int]:
    """Return the starts of tiles along one side, spread evenly from end to end.

    Args:
        length_px: Length of the side.
        tile_px: Side of a tile.
        overlap: Least share of a tile in common with the next, below 1.
    """
    if length_px <= tile_px:
        return [0]
    step_px = max(1, int(tile_px * (1 - overlap)))
    count = -(-(length_px - tile_px) // step_px) + 1
    return [round(i * (length_px - tile_px) / (count - 1)) for i in range(count)]


def weigh_side(length_px: int) -> FloatArray:
    """Return the weight of each pixel along a tile's side, float32, above 0, symmetric."""
    angles = np.pi * (np.arange(length_px) + 0.5) / length_px
    return (np.sin(angles) ** 2 + 1e-3).astype(np.float32)


def predict_tiles(
    image: ImageArray, photo_hw: tuple[int, int], tile_px: int, overlap: float, predict: PredictTile
) -> StoredPlanes:
    """Return the probabilities of a photo, predicted in tiles.

    Args:
        image: Photo at the size that tiles are cut from, uint8 (h, w, 3).
        photo_hw: Height and width of the photo.
        tile_px: Side of a tile.
        overlap: Least share of a tile in common with the next, below 1.
        predict: See ``PredictTile``.
    """
    height, width = image.shape[:2]
    tops, lefts = (place_tiles(side, tile_px, overlap) for side in (height, width))
    tile_hw = min(tile_px, height), min(tile_px, width)
    weights = np.multiply.outer(*(weigh_side(side) for side in tile_hw))
    total_weight = np.zeros((tile_hw[0], width), np.float32)
    band: FloatArray | None = None
    stored: StoredPlanes | None = None
    for top, next_top in zip(tops, [*tops[1:], height], strict=True):
        for left in lefts:
            columns = slice(left, left + tile_hw[1])
            probs = predict(image[top : top + tile_hw[0], columns])
            if band is None or stored is None:
                band = np.zeros((len(probs), tile_hw[0], width), np.float32)
                stored = StoredPlanes(len(probs), (height, width), photo_hw)
            for plane, one in zip(band, probs, strict=True):
                plane[:, columns] += weights * one
            total_weight[:, columns] += weights
        assert band is not None  # noqa: S101 (a row has a tile)
        assert stored is not None  # noqa: S101
        done = min(next_top - top, tile_hw[0])
        for plane in band:
            plane[:done] /= total_weight[:done]
        stored.write_rows(top, band[:, :done])
        for plane in (*band, total_weight):
            plane[: tile_hw[0] - done] = plane[done:].copy()
            plane[tile_hw[0] - done :] = 0
    assert stored is not None  # noqa: S101
    return stored
