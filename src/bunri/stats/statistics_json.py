"""Statistics as plain values, for ``stats.json`` and ``--json``."""

from collections.abc import Sequence
from typing import Any

from bunri.labels.rules import OverlapRule
from bunri.stats.statistics import (
    QUANTILES,
    AreaStatistics,
    ClassStatistics,
    Distribution,
    LabelStatistics,
    SetStatistics,
)


def describe_statistics(sets: Sequence[SetStatistics], rule: OverlapRule) -> dict[str, Any]:
    """Return the figures of sets with one class table as plain values for ``stats.json``."""
    return {
        "overlap_rule": rule,
        "classes": sets[0].table.to_json(),
        "sets": [_describe_set(figures) for figures in sets],
    }


def _describe_set(figures: SetStatistics) -> dict[str, Any]:
    color = figures.color
    return {
        "name": figures.name,
        "data": str(figures.dataset.source),
        "num_photos": figures.num_photos,
        "photo_sizes": [
            {"width_px": width, "height_px": height, "photos": photos}
            for (width, height), photos in figures.sizes
        ],
        "color": color
        and {
            "num_pixels": color.num_pixels,
            "mean_rgb": color.mean_rgb,
            "std_rgb": color.std_rgb,
            "mean_photo_std_rgb": color.mean_photo_std_rgb,
            "histogram_rgb": color.histogram.tolist(),
        },
        "labels": figures.labels and _describe_labels(figures.labels, figures.table.names),
    }


def _describe_labels(labels: LabelStatistics, names: Sequence[str]) -> dict[str, Any]:
    return {
        "num_objects": labels.num_objects,
        "object_pixel_share": labels.object_share,
        "object_area_px": _describe_areas(labels.all_areas),
        "classes_per_photo": _describe_distribution(labels.classes_per_photo, "classes"),
        "objects_per_photo": _describe_distribution(labels.objects_per_photo, "objects"),
        "photos_with_both_classes": labels.together.tolist(),
        "classes": [
            {"index": index, "name": name, **_describe_class(figures)}
            for index, (name, figures) in enumerate(zip(names, labels.classes, strict=True))
        ],
    }


def _describe_distribution(distribution: Distribution, unit: str) -> list[dict[str, int]]:
    return [{unit: value, "photos": photos} for value, photos in distribution]


def _describe_class(figures: ClassStatistics) -> dict[str, Any]:
    occupancy = figures.occupancy
    names = ("photos", "objects", "empty_objects", "pixels", "pixel_share")
    return {
        **{name: getattr(figures, name) for name in names},
        "object_area_px": _describe_areas(figures.area),
        "occupancy": None if occupancy is None else occupancy.round(6).tolist(),
    }


def _describe_areas(area: AreaStatistics | None) -> dict[str, Any] | None:
    if area is None:
        return None
    names = [f"q{100 * quantile:02.0f}" for quantile in QUANTILES]
    return {
        "objects": area.num_objects,
        "mean": area.mean_px,
        **dict(zip(names, area.quantiles_px, strict=True)),
        "doublings": area.doublings,
    }
