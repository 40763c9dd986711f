"""A small data set in which the doctor finds nothing, to plant faults in."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.coco_data import box, list_categories, make_image

NUM_PHOTOS = 6
HEIGHT, WIDTH = 64, 96


def make_clean_document(prefix: str = "a") -> dict[str, Any]:
    """Return six photos with one 10 x 6 box of each of the 11 categories."""
    images = [make_image(i, f"photos/{prefix}{i}.jpg", HEIGHT, WIDTH) for i in range(NUM_PHOTOS)]
    annotations: list[dict[str, Any]] = []
    for image in images:
        for category_id in range(11):
            x, y = 2 + 22 * (category_id % 4), 2 + 20 * (category_id // 4)
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": image["id"],
                    "category_id": category_id,
                    "segmentation": [box(x, y, 10, 6)],
                    "area": 60.0,
                    "bbox": [x, y, 10, 6],
                    "iscrowd": 0,
                }
            )
    return {
        "info": {},
        "licenses": [],
        "images": images,
        "categories": list_categories(),
        "annotations": annotations,
    }


def draw_scene(seed: int, height: int = HEIGHT, width: int = WIDTH) -> Image.Image:
    """Return a picture of its own for each seed: smooth blobs of colour."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 12, 3), np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def write_set(folder: Path, document: dict[str, Any], *, seed: int = 0, name: str = "data") -> Path:
    """Write a document and a photo for each row that names one; return the JSON's path."""
    for position, row in enumerate(document["images"]):
        path = folder / row["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_scene(seed + position, row["height"], row["width"]).save(path, quality=95)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(document), "utf-8")
    return path
