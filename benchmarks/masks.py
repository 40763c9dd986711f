"""Time to draw masks from COCO annotations, compared with the notebook's loop.

Draws every photo of a labelled set in one process and one thread, with the loop of the 2021
notebook (``annToMask`` and ``np.maximum``) and with bunri, in turn, and compares every mask with
the notebook's. A second table compares rasterisers on single objects and random polygons; hotcoco
is included if it is installed.

    python benchmarks/masks.py --data ../shared/data/recycle_trash/train_all.json
"""

import argparse
import contextlib
import io
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from bunri.labels.coco import read_coco
from bunri.labels.overlap import draw_mask
from bunri.labels.rasterize import draw_region, trace_runs, trace_spans
from bunri.labels.records import LabelledSet, Photo, Polygons
from bunri.labels.rules import OverlapRule

try:
    import hotcoco.mask as hotcoco_mask
except ImportError:
    hotcoco_mask = None

DATA = Path(__file__).parents[2] / "shared" / "data" / "recycle_trash" / "train_all.json"
RULE: OverlapRule = "highest-class"  # the rule that the notebook's maximum implements
NUM_RUNS = 9
NUM_RANDOM = 20_000

Draw = Callable[[Photo], npt.NDArray[Any]]
Pixels = npt.NDArray[Any]
DrawParts = Callable[[list[list[float]], int, int], Pixels]


class Notebook:
    """The loop of the 2021 baseline, which looks up every class by name."""

    def __init__(self, path: Path, class_names: Sequence[str]) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            self._coco = COCO(str(path))
        self._class_names = list(class_names)

    def draw(self, photo: Photo) -> npt.NDArray[np.float32]:
        """Return the mask of a photo, computed like in the notebook's ``__getitem__``."""
        info = self._coco.loadImgs(photo.id)[0]
        annotations = self._coco.loadAnns(self._coco.getAnnIds(imgIds=info["id"]))
        categories = self._coco.loadCats(self._coco.getCatIds())
        masks = np.zeros((info["height"], info["width"]))
        for annotation in annotations:
            name = self._find_name(annotation["category_id"], categories)
            pixel_value = self._class_names.index(name)
            masks = np.maximum(self._coco.annToMask(annotation) * pixel_value, masks)
        return masks.astype(np.float32)

    @staticmethod
    def _find_name(category_id: int, categories: list[dict[str, Any]]) -> str:
        for category in categories:
            if category["id"] == category_id:
                return str(category["name"])
        return "None"


def measure_us(peers: dict[str, Callable[[], object]], count: int) -> dict[str, float]:
    """Return microseconds per item: medians of several runs of ``count`` items, in turn."""
    runs: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(NUM_RUNS):
        for name, work in peers.items():
            start = time.perf_counter()
            work()
            runs[name].append((time.perf_counter() - start) / count * 1e6)
    return {name: statistics.median(times) for name, times in runs.items()}


def compare_with_notebook(path: Path, dataset: LabelledSet) -> None:
    """Print milliseconds per photo and the number of masks that differ from the notebook's."""
    notebook = Notebook(path, dataset.table.names)
    peers: dict[str, Draw] = {
        "notebook: annToMask + np.maximum": notebook.draw,
        "bunri": lambda photo: draw_mask(dataset, photo, RULE),
    }
    if hotcoco_mask:
        peers["hotcoco, one object over the other"] = lambda photo: paint_by_hotcoco(dataset, photo)
    truth = {photo.id: notebook.draw(photo) for photo in dataset.photos}
    wrong = {
        name: sum(not np.array_equal(truth[photo.id], draw(photo)) for photo in dataset.photos)
        for name, draw in peers.items()
    }
    passes: dict[str, Callable[[], object]] = {
        name: lambda draw=draw: [draw(photo) is None for photo in dataset.photos]  # type: ignore[misc]
        for name, draw in peers.items()
    }
    times_us = measure_us(passes, len(dataset.photos))
    base_us = next(iter(times_us.values()))
    print(f"{'one photo':42} {'ms':>8} {'times':>7} {'masks that differ':>18}")
    for name, us in times_us.items():
        print(f"{name:42} {us / 1000:8.3f} {base_us / us:7.1f} {wrong[name]:10} of {len(truth)}")


def draw_by_pycocotools(parts: list[list[float]], height: int, width: int) -> Pixels:
    """Return an object as pycocotools draws it, uint8 (H, W)."""
    encoded = coco_mask.merge(coco_mask.frPyObjects(parts, height, width))
    pixels: Pixels = coco_mask.decode(encoded)
    return pixels


def draw_by_hotcoco(parts: list[list[float]], height: int, width: int) -> Pixels:
    """Return an object as hotcoco draws it, uint8 (H, W)."""
    encoded = hotcoco_mask.merge([hotcoco_mask.fr_poly(part, height, width) for part in parts])
    pixels: Pixels = hotcoco_mask.decode(encoded)
    return pixels


def paint_by_hotcoco(dataset: LabelledSet, photo: Photo) -> npt.NDArray[np.uint8]:
    """Return the mask of a photo with polygons drawn by hotcoco, in the order of classes."""
    mask = np.zeros(photo.size_hw, np.uint8)
    rows = [
        (dataset.index_of_category[row.category_id], row.segmentation)
        for row in dataset.annotations.get(photo.id, ())
    ]
    for index, shape in sorted(rows, key=lambda row: row[0]):
        if isinstance(shape, Polygons):
            region = draw_by_hotcoco([part.tolist() for part in shape.parts], *photo.size_hw)
            mask[region.view(np.bool_)] = index
        else:
            mask[draw_region(shape, photo.size_hw)] = index
    return mask


def draw_by_bunri(parts: list[list[float]], height: int, width: int) -> Pixels:
    """Return an object as bunri draws it, bool (H, W)."""
    return draw_region(Polygons(tuple(np.array(part) for part in parts)), (height, width))


def make_random_polygons(count: int) -> list[tuple[list[list[float]], int, int]]:
    """Return (parts, height, width) of polygons in small frames, with points in and outside."""
    rng = np.random.default_rng(2021)
    made = []
    for number in range(count):
        height, width = (int(n) for n in rng.integers(1, 130, 2))
        points = rng.uniform(-30, 150, 2 * int(rng.integers(3, 30)))
        points *= (1, 1, 1, 100)[number % 4]
        points = (points, points.round(1), points.round(), points)[number % 4]
        made.append(([points.tolist()], height, width))
    return made


def compare_rasterisers(dataset: LabelledSet) -> None:
    """Print microseconds per object and how many objects differ from pycocotools'."""
    by_photo = [
        (shapes, photo.size_hw)
        for photo in dataset.photos
        if (shapes := list_polygons(dataset, photo))
    ]
    real = [
        ([part.tolist() for part in shape.parts], *size_hw)
        for shapes, size_hw in by_photo
        for shape in shapes
    ]
    random = make_random_polygons(NUM_RANDOM)
    peers: dict[str, DrawParts] = {"pycocotools": draw_by_pycocotools, "bunri": draw_by_bunri}
    if hotcoco_mask:
        peers["hotcoco"] = draw_by_hotcoco
    print(f"\n{'one object of polygons to pixels':42} {'us':>8} {'real':>13} {'random':>16}")
    drawing: dict[str, Callable[[], object]] = {
        name: lambda draw=draw: [draw(*job) is None for job in real]  # type: ignore[misc]
        for name, draw in peers.items()
    }
    for name, us in measure_us(drawing, len(real)).items():
        draw = peers[name]
        wrong = [
            sum(not np.array_equal(draw(*job), draw_by_pycocotools(*job)) for job in jobs)
            for jobs in (real, random)
        ]
        print(f"{name:42} {us:8.1f} {wrong[0]:5} of {len(real):4} {wrong[1]:5} of {len(random)}")
    tracers: dict[str, Callable[[], object]] = {
        "pycocotools: frPyObjects, merge": lambda: [
            coco_mask.merge(coco_mask.frPyObjects(*job)) for job in real
        ],
        "bunri: trace_runs": lambda: [
            trace_runs(shape, size_hw) for shapes, size_hw in by_photo for shape in shapes
        ],
        "bunri: trace_spans, a photo at once": lambda: [trace_spans(*job) for job in by_photo],
        "the same, with areas and boxes": lambda: [
            (spans.count_pixels(), spans.find_boxes())
            for spans in (trace_spans(*job) for job in by_photo)
        ],
    }
    if hotcoco_mask:
        tracers["hotcoco: fr_poly, merge"] = lambda: [
            hotcoco_mask.merge([hotcoco_mask.fr_poly(part, *size_hw) for part in parts])
            for parts, *size_hw in real
        ]
    print(f"\n{'one object of polygons to runs':42} {'us':>8}")
    for name, us in measure_us(tracers, len(real)).items():
        print(f"{name:42} {us:8.1f}")


def list_polygons(dataset: LabelledSet, photo: Photo) -> list[Polygons]:
    """Return the polygons of a photo, without objects given as run lengths."""
    annotations = dataset.annotations.get(photo.id, ())
    shapes = (annotation.segmentation for annotation in annotations)
    return [shape for shape in shapes if isinstance(shape, Polygons)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="a labelled COCO JSON")
    path = parser.parse_args().data
    dataset = read_coco(path)
    num_objects = sum(map(len, dataset.annotations.values()))
    names = ["numpy", "pycocotools", *(["hotcoco"] if hotcoco_mask else [])]
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in names)
    print(f"{platform.machine()}, {os.cpu_count()} cores; Python {platform.python_version()}")
    print(f"{versions}; medians of {NUM_RUNS} runs, in one process")
    print(f"{path.name}: {len(dataset.photos)} photos, {num_objects} objects\n")
    compare_with_notebook(path, dataset)
    compare_rasterisers(dataset)


if __name__ == "__main__":
    main()
