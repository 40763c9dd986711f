"""Small COCO files and photos whose masks are known by hand."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

NAMES_2021 = (
    "UNKNOWN", "General trash", "Paper", "Paper pack", "Metal", "Glass", "Plastic", "Styrofoam",
    "Plastic bag", "Battery", "Clothing",
)  # fmt: skip
NAMES_LATER = (*NAMES_2021[1:],)
"""Later cohorts: ids 1..10, no UNKNOWN."""


def list_categories(names=NAMES_2021, first_id: int = 0) -> list[dict[str, Any]]:
    return [
        {"id": id_, "name": name, "supercategory": name} for id_, name in enumerate(names, first_id)
    ]


def make_image(id_: int, name: str, height: int = 30, width: int = 40) -> dict[str, Any]:
    return {"id": id_, "file_name": name, "height": height, "width": width}


def box(x: float, y: float, width: float, height: float) -> list[float]:
    """Return the polygon of a rectangle; it has exactly ``width * height`` pixels."""
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def make_annotation(
    id_: int, image_id: int, category_id: int, *parts: Sequence[float], **changes: Any
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": id_,
        "image_id": image_id,
        "category_id": category_id,
        "segmentation": [list(part) for part in parts],
        "area": 1.0,
        "bbox": [0, 0, 1, 1],
        "iscrowd": 0,
    }
    return row | changes


def make_document(**changes: Any) -> dict[str, Any]:
    """Return one photo, 30 high and 40 wide, with a 10x6 piece of Paper at (5, 8)."""
    document: dict[str, Any] = {
        "info": {},
        "licenses": [{"id": 0, "name": "CC BY 4.0"}],
        "images": [make_image(7, "batch_01/0001.jpg")],
        "categories": list_categories(),
        "annotations": [make_annotation(3, 7, 2, box(5, 8, 10, 6))],
    }
    return document | changes


def write_coco(folder: Path, document: Any = None, name: str = "train.json") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    content = make_document() if document is None else document
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


def write_photos(folder: Path, document: dict[str, Any]) -> None:
    """Write a grey JPEG for each image of a document."""
    for row in document["images"]:
        path = folder / row["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((row["height"], row["width"], 3), 128, np.uint8)).save(path)
