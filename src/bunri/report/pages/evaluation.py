"""The evaluation page: scores, their intervals, and pictures of mistakes."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bunri.core.classes import ClassTable
from bunri.report.mistakes import MISTAKE_COLORS_RGB, MISTAKE_KINDS, Mistakes, count_wrong
from bunri.report.page import read_script, show_count, show_figure, show_share, write_page
from bunri.report.pages.robustness import RobustnessSection, describe_robustness, plot_robustness
from bunri.report.picture_choice import NUM_WORST
from bunri.report.pictures import Picture
from bunri.report.plots.evaluation import build_evaluation_plots
from bunri.report.plots.parts import choose_ink
from bunri.report.plots.plots import read_plot_scripts
from bunri.report.records import Epoch
from bunri.report.texts import (
    Text,
    Texts,
    clean_name,
    collect_languages,
    describe_classes,
    join_texts,
    list_scarce_classes,
    read_texts,
)
from bunri.scores.boundary import DISTANCE_SHARE
from bunri.scores.intervals import MIN_PHOTOS
from bunri.scores.metrics import list_class_scores, replace_nan
from bunri.scores.results import Result, SizeScores

MIN_SHARE = 0.005
"""Smallest share of a photo's pixels with which a kind of mistake is listed for the photo."""
SCRIPTS = ("panels.js", "sort.js", "gallery.js", "mistakes.js")


def write_evaluation_page(
    path: Path,
    result: Result,
    scores: dict[str, SizeScores],
    pictures: Sequence[Picture],
    mistakes: Mistakes,
    history: Sequence[Epoch] = (),
    robustness: RobustnessSection | None = None,
) -> None:
    """Write the page; ``pictures`` have the worst first, ``scores`` the keys ``results.SIZES``.

    Raises:
        OutputError: The file cannot be written.
    """
    t = read_texts("common", "evaluation")
    own = scores["photo"]
    classes = describe_classes(result.table)
    kinds, wrong = mistakes.count(), count_wrong(mistakes.matrix)
    values: dict[str, Any] = {
        "t": t,
        "model": clean_name(result.model),
        "data": clean_name(Path(result.data).name),
        "rule": result.overlap_rule,
        "num_photos": len(result.photos),
        "figures": list(_list_figures(own, t)),
        "small": scores["submission"],
        "warnings": list(_list_warnings(result, own, len(pictures), t)),
        "classes": classes,
        "class_scores": [t(score.key) for score in list_class_scores()],
        "class_rows": _list_class_rows(own),
        "confusion": _describe_confusion(result, classes, t),
        "kinds": [{"kind": kind, "share": kinds[kind] / max(1, wrong)} for kind in MISTAKE_KINDS],
        "kind_colors": {kind: f"rgb{color}" for kind, color in MISTAKE_COLORS_RGB.items()},
        "wrong_share": show_share(wrong / max(1, mistakes.num_pixels)),
        "photos": [_describe_picture(one) for one in pictures],
        "shown_classes": {i for one in pictures for cell in one.cells for i in cell[:2]},
        "masks": _pack_masks(pictures, result.table),
        "ways": list(_list_ways(result, t)),
        "ece": own.calibration.error,
        "ece_interval": own.calibration_interval,
        "has_history": bool(history),
        "min_share": show_share(MIN_SHARE),
        "band_share": show_share(DISTANCE_SHARE, 0),
        "plots": build_evaluation_plots(history, own.calibration, t),
        "robustness": None,
    }
    if robustness is not None:
        values["robustness"] = describe_robustness(robustness, t)
        values["plots"] |= collect_languages(
            t, lambda voice: {"robustness": plot_robustness(robustness.scores, voice)}
        )
    scripts = [*read_plot_scripts(), *map(read_script, SCRIPTS)]
    write_page(path, "evaluation.html", values, scripts=scripts)


def _list_figures(own: SizeScores, t: Texts) -> Iterator[dict[str, Any]]:
    """Yield the overall scores: name, value, interval and explanation."""
    for score, value, interval in own.list_overall():
        yield {
            "name": t(score.key),
            "value": replace_nan(value),
            "interval": interval,
            "note": t(f"note_{score.key}", size=own.sheet.batch_size),
        }


def _list_ways(result: Result, t: Texts) -> Iterator[Text]:
    """Yield sentences about ensembles and settings of prediction, if there are any."""
    if result.combine:
        members = [clean_name(f"{one.model} × {one.weight:g}") for one in result.models]
        how = t(f"combine_{result.combine}")
        yield t("way_ensemble", how=how, models=join_texts(members))
    if result.prediction:
        settings = [clean_name(f"{key}={value}") for key, value in result.prediction.items()]
        yield t("way_prediction", settings=join_texts(settings))


def _list_warnings(result: Result, own: SizeScores, num_shown: int, t: Texts) -> Iterator[Text]:
    """Yield warnings about scores that may mislead."""
    if result.is_tuned_here:
        yield t("warning_tuned_here")
    if len(result.photos) < MIN_PHOTOS:
        yield t("warning_few_photos", limit=MIN_PHOTOS)
    photos = [one.photos for one in own.sheet.classes]
    absent, rare = list_scarce_classes(result.table, photos, MIN_PHOTOS, t)
    if absent:
        yield t("warning_absent_classes", classes=join_texts(absent))
    if rare:
        yield t("warning_rare_classes", limit=MIN_PHOTOS, classes=join_texts(rare))
    if num_shown < len(result.photos):
        yield t(
            "warning_part_of_photos", shown=num_shown, total=len(result.photos), worst=NUM_WORST
        )


def _list_class_rows(own: SizeScores) -> list[dict[str, Any]]:
    total = max(1, own.sheet.num_pixels)
    return [
        {
            "scores": [
                {"value": replace_nan(value), "interval": interval if score.key == "iou" else None}
                for score, value, interval in own.list_class(index)
            ],
            "photos": one.photos,
            "pixels": one.pixels,
            "pixel_share": one.pixels / total,
        }
        for index, one in enumerate(own.sheet.classes)
    ]


def _describe_confusion(
    result: Result, classes: Sequence[dict[str, Any]], t: Texts
) -> dict[str, Any]:
    """Return the table of truth against prediction; classes that are in neither are left out."""
    matrices = result.sizes["photo"].matrices
    total, photos = matrices.sum(0), (matrices > 0).sum(0)
    seen = [i for i in range(len(total)) if total[i].any() or total[:, i].any()]
    rows = []
    for row in seen:
        pixels = int(total[row].sum())
        cells = []
        for column in seen:
            count = int(total[row, column])
            share = count / pixels if pixels else 0.0
            words = t(
                "cell_words_right" if row == column else "cell_words",
                truth=classes[row]["name"],
                share=show_share(share),
                pixels=show_count(count),
                photos=int(photos[row, column]),
                **({} if row == column else {"prediction": classes[column]["name"]}),
            )
            cells.append(
                {
                    "column": column,
                    "count": count,
                    "shown": _shorten_share(share),
                    "style": shade_cell(share),
                    "words": words,
                }
            )
        rows.append({"row": row, "is_there": pixels > 0, "cells": cells})
    return {"columns": seen, "rows": rows}


def _shorten_share(share: float) -> str:
    """Return a share in whole per cent without the sign; a dot below half a per cent."""
    return "·" if share < 0.005 else f"{100 * share:.0f}"


def shade_cell(share: float) -> str:
    """Return the CSS colours of a cell of a heat map, on the same scale as in plots."""
    stops = (0.0, 0.35, 0.7, 1.0)
    lower = max(i for i in range(3) if share >= stops[i])
    part = (share - stops[lower]) / (stops[lower + 1] - stops[lower])
    mix = f"color-mix(in srgb, var(--heat-{lower + 1}) {100 * part:.0f}%, var(--heat-{lower}))"
    return f"background: {mix}; color: {choose_ink(share)}"


def _describe_picture(picture: Picture) -> dict[str, Any]:
    present = sorted({truth for truth, *_ in picture.cells})
    counts = Mistakes.of_cells(picture.cells).count()
    total = max(1, sum(cell[2] for cell in picture.cells))
    return {
        "name": clean_name(picture.file_name),
        "score": show_figure(picture.miou),
        "size_hw": picture.size_hw,
        "photo": f"data:image/jpeg;base64,{picture.photo}",
        "classes": present,
        "kinds": [(kind, counts[kind] / total) for kind in MISTAKE_KINDS],
    }


def _pack_masks(pictures: Sequence[Picture], table: ClassTable) -> dict[str, Any]:
    """Return the data that ``templates/mistakes.js`` reads; it holds no names."""
    return {
        "kindColors": MISTAKE_COLORS_RGB,
        "colors": [list(info.color_rgb) for info in table.classes],
        "minShare": MIN_SHARE,
        "photos": [
            {"size": one.size_hw}
            | {key: getattr(one, key) for key in ("truth", "prediction", "cells")}
            for one in pictures
        ],
    }
