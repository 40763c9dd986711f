"""The page of two submissions and their differences."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from bunri.core.classes import ClassTable
from bunri.core.contracts import MaskArray
from bunri.core.errors import ImageError, PathError
from bunri.images.frames import resize_image
from bunri.images.photos import read_photo
from bunri.labels.records import LabelledSet, Photo
from bunri.report.page import embed_mask, embed_picture, write_page
from bunri.report.texts import Text, clean_name, describe_classes, read_texts
from bunri.scores.confusion import ClassCounts
from bunri.submission.difference import SubmissionDifference
from bunri.submission.format import SUBMISSION_SIZE_PX

MAX_PICTURE_BYTES = 12 * 10**6
"""Largest size of all pictures together; photos that differ least are left out."""
_SAME_RGB, _DIFFERENT_RGB = (38, 46, 43), (255, 64, 129)
_MAX_NAMED = 3
"""Most pairs of classes listed below a photo."""


@dataclass(frozen=True, slots=True)
class _Card:
    """One photo of the page; pictures are data URLs, ``photo`` None where there is none."""

    name: Text
    share: float
    aspect: str
    photo: Markup | None
    masks: tuple[Markup, Markup]
    difference: Markup
    pairs: list[dict[str, Any]]

    @property
    def num_bytes(self) -> int:
        return sum(len(picture) for picture in (*self.masks, self.difference, self.photo or ""))


def write_submissions_page(
    path: Path,
    names: tuple[str, str],
    difference: SubmissionDifference,
    table: ClassTable,
    dataset: LabelledSet | None,
    advance: Callable[[], None],
) -> int:
    """Write the page and return the number of photos on it; without a data set, masks alone.

    Raises:
        OutputError: The file cannot be written.
    """
    cards: list[_Card] = []
    num_bytes = 0
    for card in _make_cards(difference, table, dataset):
        num_bytes += card.num_bytes
        if num_bytes > MAX_PICTURE_BYTES:
            break
        cards.append(card)
        advance()
    values = _collect_values(names, difference, table) | {"cards": cards}
    write_page(path, "submissions.html", values)
    return len(cards)


def _collect_values(
    names: tuple[str, str], difference: SubmissionDifference, table: ClassTable
) -> dict[str, Any]:
    """Return the values of the template without the photos."""
    matrix = difference.matrix
    rows, columns, total = matrix.sum(axis=1), matrix.sum(axis=0), max(1, int(matrix.sum()))
    iou = ClassCounts.of(matrix).iou
    seen = np.flatnonzero(rows + columns).tolist()
    classes = describe_classes(table)
    figures = [
        {
            "class": classes[index],
            "first": int(rows[index]) / total,
            "second": int(columns[index]) / total,
            "agreement": None if np.isnan(iou[index]) else float(iou[index]),
            "cells": [
                int(matrix[index, other]) / int(rows[index]) if rows[index] else None
                for other in seen
            ],
        }
        for index in seen
    ]
    return {
        "t": read_texts("common", "submissions"),
        "names": [clean_name(name) for name in names],
        "difference": difference,
        "agreement": int(np.trace(matrix)) / total,
        "classes": classes,
        "seen": seen,
        "figures": figures,
    }


def _make_cards(
    difference: SubmissionDifference, table: ClassTable, dataset: LabelledSet | None
) -> Iterator[_Card]:
    listed = {} if dataset is None else {photo.file_name: photo for photo in dataset.photos}
    palette = np.zeros((256, 3), np.uint8)
    palette[:2] = _SAME_RGB, _DIFFERENT_RGB
    for row in difference.photos:
        photo = listed.get(row.image_id)
        first, second = row.unpack_masks()
        yield _Card(
            name=clean_name(row.image_id),
            share=row.share,
            aspect=f"{photo.width_px} / {photo.height_px}" if photo else "1",
            photo=_embed_photo(dataset, photo) if dataset and photo else None,
            masks=(embed_mask(first, table.palette_rgb), embed_mask(second, table.palette_rgb)),
            difference=embed_mask((first != second).astype(np.uint8), palette),
            pairs=_find_pairs(first, second, len(table)),
        )


def _embed_photo(dataset: LabelledSet, photo: Photo) -> Markup | None:
    """Return the photo as large as its masks; None if it cannot be read, masks remain useful."""
    try:
        image = read_photo(dataset.path_of(photo))
    except (ImageError, PathError):
        return None
    return embed_picture(resize_image(image, (SUBMISSION_SIZE_PX, SUBMISSION_SIZE_PX)), quality=80)


def _find_pairs(first: MaskArray, second: MaskArray, num_classes: int) -> list[dict[str, Any]]:
    """Return the commonest pairs of different classes with their shares of the pixels."""
    is_different = first != second
    codes = first[is_different].astype(np.int64) * num_classes + second[is_different]
    values, counts = np.unique(codes, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:_MAX_NAMED]
    pairs = np.stack((*np.divmod(values[order], num_classes), counts[order]), axis=1).tolist()
    return [{"first": a, "second": b, "share": count / first.size} for a, b, count in pairs]
