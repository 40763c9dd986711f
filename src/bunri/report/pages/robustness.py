"""The section of the evaluation page about corruptions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from markupsafe import Markup

from bunri.core.classes import ClassTable
from bunri.core.contracts import ImageArray, MaskArray
from bunri.corruptions import CORRUPTIONS
from bunri.images.drawing import draw_overlay_layer
from bunri.images.frames import fit_size_hw, resize_image, resize_mask
from bunri.report.page import embed_layer, embed_picture, show_signed
from bunri.report.plots.intervals import Bar, plot_interval_bars
from bunri.report.plots.plots import Plot
from bunri.report.texts import OneLanguage, Texts, clean_name
from bunri.scores.intervals import Difference
from bunri.scores.metrics import replace_nan
from bunri.scores.robustness import CorruptionScores, RobustnessScores

TILE_PX = 224
"""Longer side. Noise packs badly: 16 tiles of nothing else take 0.35 megabytes of the page's 15."""
_QUALITY = 70
_KINDS = {one.name: one.kind for one in CORRUPTIONS}


@dataclass(frozen=True, slots=True)
class Tile:
    """Data URLs of a photo under a corruption (or ``clean``) and of the classes predicted on it."""

    name: str
    photo: Markup
    layer: Markup
    classes: frozenset[int]

    @classmethod
    def of(cls, name: str, image: ImageArray, mask: MaskArray, table: ClassTable) -> Self:
        """Return a reduced photo, uint8 (H, W, 3), with its mask, uint8 (H, W)."""
        photo_hw = image.shape[0], image.shape[1]
        size_hw = fit_size_hw(photo_hw, min(TILE_PX, max(photo_hw)))
        layer = draw_overlay_layer(resize_mask(mask, size_hw), table)
        photo = embed_picture(resize_image(image, size_hw), quality=_QUALITY)
        return cls(name, photo, embed_layer(layer), frozenset(np.unique(mask).tolist()))


@dataclass(frozen=True, slots=True)
class RobustnessSection:
    """Scores under corruptions, and one photo, first clean and then under each of them."""

    scores: RobustnessScores
    file_name: str
    photo_hw: tuple[int, int]
    tiles: Sequence[Tile]


def describe_robustness(section: RobustnessSection, t: Texts) -> dict[str, Any]:
    """Return the values of ``templates/evaluation_robustness.html``."""
    scores = section.scores
    changes = {
        one.name: show_signed(0 - one.drop.value)
        for one in scores.corruptions
        if one.drop.verdict != "no data"
    }
    return {
        "severity": scores.counts.severity,
        "mean": _describe_row(scores.mean, t),
        "worst": _describe_row(scores.worst, t),
        "rows": [_describe_row(one, t) for one in scores.ranked],
        "file_name": clean_name(section.file_name),
        "photo_hw": section.photo_hw,
        "classes": set().union(*(tile.classes for tile in section.tiles)),
        "tiles": [
            {
                "name": t(f"corruption_{tile.name}"),
                "note": t(f"corrupted_{tile.name}"),
                "change": changes.get(tile.name, ""),
                "photo": tile.photo,
                "layer": tile.layer,
            }
            for tile in section.tiles
        ],
    }


def _describe_row(one: CorruptionScores, t: Texts) -> dict[str, Any]:
    return {
        "name": t(f"corruption_{one.name}"),
        "global_miou": replace_nan(one.global_miou),
        "per_image_miou": replace_nan(one.per_image_miou),
        **{
            key: {"value": replace_nan(drop.value), "interval": _show_interval(drop)}
            for key, drop in (("drop", one.drop), ("per_image_drop", one.per_image_drop))
        },
    }


def _show_interval(drop: Difference) -> str:
    """Return the interval of a drop, without a dash, since its ends may be negative."""
    if not drop.interval.is_known:
        return ""
    ends = f"{drop.interval.low:.3f} \N{HORIZONTAL ELLIPSIS} {drop.interval.high:.3f}"
    return ends.replace("-", "\N{MINUS SIGN}")


def plot_robustness(scores: RobustnessScores, t: OneLanguage) -> Plot:
    """Return the drops as bars, the largest first, coloured by kind of corruption."""
    names = {kind: t(f"kind_{kind}") for kind in dict.fromkeys(_KINDS.values())}
    bars = []
    for one in scores.ranked:
        label = t(f"corruption_{one.name}")
        hover = [label, f"{t('drop')} {one.drop.value:.3f}", _show_interval(one.drop)]
        group = names[_KINDS[one.name]]
        bars.append(Bar(label, group, one.drop.value, one.drop.interval, hover))
    return plot_interval_bars(bars, list(names.values()), t("axis_drop"))
