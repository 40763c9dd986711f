"""Drawing of masks: colours, overlays, legends and side-by-side comparisons, as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from bunri.core.classes import ClassTable
from bunri.core.contracts import BACKGROUND_INDEX, IGNORE_INDEX, ImageArray, MaskArray

OVERLAY_OPACITY = 0.55
_BAND_PIXELS = 2**20  # rows are drawn in bands, or large photos are in memory several times
_INK = (32, 32, 32)
_PAPER = (255, 255, 255)


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """A photo, uint8 (H, W, 3), with its true and its predicted mask, uint8 (H, W)."""

    image: ImageArray
    truth: MaskArray
    prediction: MaskArray


def color_mask(mask: MaskArray, table: ClassTable) -> ImageArray:
    """Return a mask in its class colours, uint8 (H, W, 3) RGB; ignored pixels are white."""
    colored: ImageArray = table.palette_rgb[mask]
    return colored


def make_index_picture(mask: MaskArray, table: ClassTable) -> Image.Image:
    """Return a picture whose values are class indices, and whose palette shows their colours."""
    picture = Image.fromarray(mask)
    picture.putpalette(table.palette_rgb.tobytes())
    return picture


def draw_overlay(image: ImageArray, mask: MaskArray, table: ClassTable) -> ImageArray:
    """Return the photo with its objects tinted and outlined in white, uint8 (H, W, 3) RGB.

    Args:
        image: uint8 (H, W, 3) RGB.
        mask: uint8 (H, W), class indices.
        table: Classes with their colours.
    """
    result = np.empty_like(image)
    _draw_overlay_into(result, image, mask, table)
    return result


def _draw_overlay_into(
    result: ImageArray, image: ImageArray, mask: MaskArray, table: ClassTable
) -> None:
    height, width = mask.shape
    step = max(1, _BAND_PIXELS // width)
    for first in range(0, height, step):
        # With the row below, from which the last row's edges follow.
        below = min(first + step + 1, height)
        drawn = _draw_rows(image[first:below], mask[first:below], table)
        result[first : first + step] = drawn[:step]


def _draw_rows(image: ImageArray, mask: MaskArray, table: ClassTable) -> ImageArray:
    is_object = (mask != BACKGROUND_INDEX) & (mask != IGNORE_INDEX)
    picture = Image.fromarray(image)
    colors = make_index_picture(mask, table).convert("RGB")
    tinted = Image.blend(picture, colors, OVERLAY_OPACITY)
    picture.paste(tinted, mask=_to_stencil(is_object))
    picture.paste(_PAPER, mask=_to_stencil(_find_edges(mask)))
    return np.asarray(picture)


def _to_stencil(where: npt.NDArray[np.bool_]) -> Image.Image:
    return Image.fromarray(where.view(np.uint8) * np.uint8(255))


def draw_overlay_layer(mask: MaskArray, table: ClassTable) -> npt.NDArray[np.uint8]:
    """Return the layer that :func:`draw_overlay` lays over a photo, as a picture of its own.

    Args:
        mask: uint8 (H, W), class indices.
        table: Classes with their colours.

    Returns:
        uint8 (H, W, 4) RGBA: objects in their full colours, outlined in white; all else clear.
    """
    is_object = (mask != BACKGROUND_INDEX) & (mask != IGNORE_INDEX)
    edges = _find_edges(mask)
    colors = np.where(edges[..., None], np.array(_PAPER, np.uint8), color_mask(mask, table))
    colors[~(is_object | edges)] = 0  # clear pixels of one colour pack better
    alpha = np.where(is_object | edges, 255, 0).astype(np.uint8)
    return np.dstack([colors, alpha])


def _find_edges(mask: MaskArray) -> npt.NDArray[np.bool_]:
    """Return bool (H, W), True where the pixel below or to the right is of another class."""
    edges = np.zeros(mask.shape, np.bool_)
    edges[:-1] |= mask[:-1] != mask[1:]
    edges[:, :-1] |= mask[:, :-1] != mask[:, 1:]
    return edges


def draw_legend(classes: Sequence[int], table: ClassTable, width_px: int) -> ImageArray:
    """Return the names of classes beside their colours, uint8 (h, width_px, 3) RGB."""
    font_px = max(11, min(18, width_px // 32))
    font = ImageFont.load_default(font_px)
    row_px, pad_px = int(font_px * 1.7), 8
    places, x, y = [], pad_px, pad_px
    for index in (c for c in classes if c != BACKGROUND_INDEX):
        needed = row_px + int(font.getlength(table.names[index])) + pad_px
        if x > pad_px and x + needed > width_px:
            x, y = pad_px, y + row_px
        places.append((x, y, index))
        x += needed + pad_px
    picture = Image.new("RGB", (width_px, y + row_px + pad_px), _PAPER)
    draw = ImageDraw.Draw(picture)
    for x, y, index in places:
        box = (x, y, x + row_px - 6, y + row_px - 6)
        draw.rectangle(box, fill=table.classes[index].color_rgb, outline=_INK)
        middle = (x + row_px, y + (row_px - 6) / 2)
        draw.text(middle, table.names[index], fill=_INK, font=font, anchor="lm")
    if not places:
        draw.text((pad_px, pad_px), "nothing found", fill=_INK, font=font)
    return np.asarray(picture)


def draw_labelled_overlay(image: ImageArray, mask: MaskArray, table: ClassTable) -> ImageArray:
    """Return :func:`draw_overlay` with a legend of its classes below.

    A photo narrower than 240 px is put on a wider ground, so that the legend can be read.
    """
    height, width = mask.shape
    present = [index for index in range(len(table)) if (mask == index).any()]  # no sorting
    legend = draw_legend(present, table, max(width, 240))
    result = np.full((height + len(legend), legend.shape[1], 3), _PAPER, np.uint8)
    _draw_overlay_into(result[:height, :width], image, mask, table)
    result[height:] = legend
    return result


def draw_comparisons(
    comparisons: Sequence[Comparison], table: ClassTable, *, tile_px: int = 320
) -> ImageArray:
    """Return rows of photo, truth and prediction with titles and one legend, uint8 (h, w, 3) RGB.

    Args:
        comparisons: Photos with their masks; at least one.
        table: Classes with names and colours.
        tile_px: Longer side of each picture.
    """
    gap_px, title_px = 6, 26
    width_px = 3 * tile_px + 4 * gap_px
    font = ImageFont.load_default(15)
    title = Image.new("RGB", (width_px, title_px), _PAPER)
    draw = ImageDraw.Draw(title)
    for column, text in enumerate(("photo", "truth", "prediction")):
        x = gap_px + column * (tile_px + gap_px) + tile_px / 2
        draw.text((x, title_px / 2), text, fill=_INK, font=font, anchor="mm")
    rows = [np.asarray(title)]
    present: set[int] = set()
    for item in comparisons:
        present |= set(np.unique(item.truth).tolist()) | set(np.unique(item.prediction).tolist())
        overlays = [draw_overlay(item.image, m, table) for m in (item.truth, item.prediction)]
        row = Image.new("RGB", (width_px, tile_px + gap_px), _PAPER)
        for column, picture in enumerate((item.image, *overlays)):
            tile = Image.fromarray(picture)
            tile.thumbnail((tile_px, tile_px))
            row.paste(tile, (gap_px + column * (tile_px + gap_px), 0))
        rows.append(np.asarray(row))
    rows.append(draw_legend(sorted(present - {IGNORE_INDEX}), table, width_px))
    return np.concatenate(rows)
