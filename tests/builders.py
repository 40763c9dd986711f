"""Small data sets on disk whose right answers are known by construction."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from bunri.core.waste_classes import COMPETITION_TABLE

GROUND_RGB = (90, 140, 90)
"""Colour of everything that is background."""
SHAPE_RGB = {1: (230, 230, 230), 3: (40, 90, 220), 5: (210, 40, 40), 7: (240, 210, 30)}
"""Class index -> colour: the class of a shape follows from its colour alone."""
CATEGORY_IDS = {index: 100 - index for index in range(1, 12)}
"""Class index -> category id; neither equal nor in the same order, so a mix-up shows."""


@dataclass(frozen=True)
class Shape:
    """A rectangle in pixels; ``right`` and ``bottom`` are outside of it."""

    class_index: int
    left: int
    top: int
    right: int
    bottom: int

    @property
    def polygon(self) -> list[float]:
        return [
            *(self.left, self.top, self.right, self.top),
            *(self.right, self.bottom, self.left, self.bottom),
        ]  # fmt: skip


def place_shapes(seed: int, size_hw: tuple[int, int]) -> list[Shape]:
    """Return two rectangles that do not touch: one in the left half, one in the right."""
    rng = np.random.default_rng(seed)
    height, width = size_hw
    indices = rng.choice(list(SHAPE_RGB), 2, replace=False).tolist()
    shapes = []
    for index, start in zip(indices, (2, width // 2 + 2), strict=True):
        left = start + int(rng.integers(0, width // 8))
        top = int(rng.integers(2, height // 3))
        right = left + int(rng.integers(width // 5, width // 3))
        bottom = top + int(rng.integers(height // 3, height // 2))
        shapes.append(Shape(index, left, top, right, bottom))
    return shapes


def draw_photo(shapes: Sequence[Shape], size_hw: tuple[int, int]) -> Image.Image:
    picture = Image.new("RGB", size_hw[::-1], GROUND_RGB)
    draw = ImageDraw.Draw(picture)
    for s in shapes:
        draw.rectangle((s.left, s.top, s.right - 1, s.bottom - 1), SHAPE_RGB[s.class_index])
    return picture


def draw_truth(shapes: Sequence[Shape], size_hw: tuple[int, int]) -> np.ndarray:
    """Return the mask that a photo's annotations mean, drawn without bunri."""
    mask = np.zeros(size_hw, np.uint8)
    for s in shapes:
        mask[s.top : s.bottom, s.left : s.right] = s.class_index
    return mask


def list_categories() -> list[dict[str, Any]]:
    return [
        {"id": id_, "name": COMPETITION_TABLE.names[index]} for index, id_ in CATEGORY_IDS.items()
    ]


def build_document(shapes_of: dict[str, list[Shape]], size_hw: tuple[int, int]) -> dict[str, Any]:
    """Return a COCO document of photos given by name."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for photo_id, (name, shapes) in enumerate(shapes_of.items(), start=11):
        height, width = size_hw
        images.append({"id": photo_id, "file_name": name, "height": height, "width": width})
        for shape in shapes:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": photo_id,
                    "category_id": CATEGORY_IDS[shape.class_index],
                    "segmentation": [shape.polygon],
                }
            )
    return {"images": images, "categories": list_categories(), "annotations": annotations}


@dataclass(frozen=True)
class TinyData:
    """Where a data set lies, and what is in it."""

    folder: Path
    size_hw: tuple[int, int]
    shapes: dict[str, dict[str, list[Shape]]]
    """Part -> file name -> shapes."""

    @property
    def train(self) -> Path:
        return self.folder / "train.json"

    @property
    def val(self) -> Path:
        return self.folder / "val.json"

    @property
    def test(self) -> Path:
        """Without annotations, as in the competition."""
        return self.folder / "test.json"

    def truth(self, part: str, name: str) -> np.ndarray:
        return draw_truth(self.shapes[part][name], self.size_hw)


def write_data(
    folder: Path, counts: Sequence[int] = (6, 4, 3), size_hw: tuple[int, int] = (64, 64)
) -> TinyData:
    """Write train.json, val.json and test.json with their photos, PNG so that colours stay."""
    shapes: dict[str, dict[str, list[Shape]]] = {}
    seed = 0
    for part, count in zip(("train", "val", "test"), counts, strict=True):
        shapes[part] = {}
        for number in range(count):
            name = f"batch_01/{part}_{number:04d}.png"
            shapes[part][name] = place_shapes(seed, size_hw)
            seed += 1
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            draw_photo(shapes[part][name], size_hw).save(folder / name)
        document = build_document(shapes[part], size_hw)
        if part == "test":
            del document["annotations"]
        write_document(folder / f"{part}.json", document)
    return TinyData(folder, size_hw, shapes)


def write_document(path: Path, document: Any) -> Path:
    path.write_text(json.dumps(document), "utf-8")
    return path


def change_document(path: Path, change: Any) -> Path:
    """Rewrite a JSON file after ``change(document)`` altered it in place."""
    document = json.loads(path.read_text("utf-8"))
    change(document)
    return write_document(path, document)


TINY_SETTINGS = (
    "model.weights=none",
    "model.decoder_channels=64",
    "input.size_px=64",
    "augment.crop_size_px=64",
    "train.epochs=2",
    "train.samples_per_epoch=6",
    "train.batch_size=3",
    "train.num_workers=0",
    "train.precision=f32",
    "train.num_sample_pictures=1",
)
"""What makes the default recipe run in seconds; one entry per ``--set``."""
