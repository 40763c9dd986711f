"""Figures of a split for report.json: groups, classes by part, balance."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from bunri.labels.records import LabelledSet
from bunri.split.balance import BALANCE_TEXT, Contents, IntArray, measure_balance
from bunri.split.folds import Parts, find_absent, find_required, split_randomly
from bunri.split.groups import Group

NUM_RANDOM_SPLITS = 20


def describe_split(
    dataset: LabelledSet,
    contents: Contents,
    groups: Sequence[Group],
    parts: Parts,
    part_of: IntArray,
) -> dict[str, Any]:
    """Return the figures of a split into ``part_of``, int64 (photos,), as plain values."""
    together = [group for group in groups if len(group) > 1]
    rows = [
        {"name": name, "num_photos": int((part_of == part).sum()), "wanted_share": share}
        for part, (name, share) in enumerate(zip(parts.names, parts.shares, strict=True))
    ]
    required = find_required(contents, groups, len(parts.names))
    balance = measure_balance(contents, part_of, parts.shares)
    return {
        "num_photos": len(part_of),
        "num_groups": len(groups),
        "groups": [[dataset.photos[place].file_name for place in group] for group in together],
        "parts": rows,
        "classes": _describe_classes(dataset, contents, part_of, parts.names, required),
        "balance": {
            "figure": balance.figure,
            **asdict(balance),
            "definition": BALANCE_TEXT,
            "random_splits": _describe_random(contents, groups, parts.shares, required),
        },
    }


def _describe_classes(
    dataset: LabelledSet,
    contents: Contents,
    part_of: IntArray,
    names: Sequence[str],
    required: Sequence[int],
) -> list[dict[str, Any]]:
    absent = find_absent(contents, part_of, len(names))
    rows = []
    for index in range(1, len(dataset.table)):
        pixels = contents.pixels[:, index]
        parts = []
        for part, name in enumerate(names):
            inside = part_of == part
            counts = _count(pixels[inside])
            shares = {
                "photo_share": counts["photos"] / max(1, int(inside.sum())),
                "pixel_share": counts["pixels"] / max(1, int(contents.areas[inside].sum())),
            }
            parts.append({"name": name, **counts, **shares})
        rows.append(
            {
                "name": dataset.table.names[index],
                **_count(pixels),
                "must_be_in_every_part": index in required,
                "absent_from": [names[part] for c, part in absent if c == index],
                "parts": parts,
            }
        )
    return rows


def _count(pixels: IntArray) -> dict[str, int]:
    return {"photos": int((pixels > 0).sum()), "pixels": int(pixels.sum())}


def _describe_random(
    contents: Contents, groups: Sequence[Group], shares: Sequence[float], required: Sequence[int]
) -> dict[str, Any]:
    """Return the balance of random splits of the same groups, the same ones every time."""
    figures, num_complete = [], 0
    for seed in range(NUM_RANDOM_SPLITS):
        part_of = split_randomly(groups, shares, seed)
        figures.append(measure_balance(contents, part_of, shares).figure)
        absent = {c for c, _ in find_absent(contents, part_of, len(shares))}
        num_complete += not absent & set(required)
    return {
        "count": NUM_RANDOM_SPLITS,
        "keep_groups_together": True,
        "mean_figure": float(np.mean(figures)),
        "best_figure": min(figures),
        "num_with_required_classes_in_every_part": num_complete,
    }
