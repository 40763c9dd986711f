"""Duration and memory of ``bunri doctor`` on a set of the competition's size.

Writes a JSON of 3,272 photos and 26,400 outlines of 60 points to a temporary folder. ``bunri
doctor`` examines it without photos, and pycocotools reads it and measures the area of each object,
in turn and each in a new process. Prints medians.

    python benchmarks/doctor.py
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bunri.core.waste_classes import COMPETITION_TABLE

NUM_PHOTOS, NUM_OBJECTS, NUM_POINTS = 3_272, 26_400, 60
NUM_RUNS = 3
DOCTOR = (
    "import sys; from bunri.cli import main; sys.argv = ['bunri', 'doctor', *sys.argv[1:]]; main()"
)
PEER = """
import sys
from pycocotools.coco import COCO
coco = COCO(sys.argv[1])
from pycocotools import mask
areas = [mask.area(coco.annToRLE(row)) for row in coco.anns.values()]
"""


def make_object(rng: np.random.Generator, number: int) -> dict[str, Any]:
    """Return a round, jagged outline somewhere in a photo of 512 x 512."""
    angle = np.linspace(0, 2 * np.pi, NUM_POINTS, endpoint=False)
    radius = rng.uniform(10, 90) * rng.uniform(0.8, 1, NUM_POINTS)
    x, y = rng.uniform(100, 412, (2, 1)) + radius * np.stack((np.cos(angle), np.sin(angle)))
    area = abs(float(x @ np.roll(y, 1) - y @ np.roll(x, 1))) / 2
    return {
        "id": number,
        "image_id": number % NUM_PHOTOS,
        "category_id": int(rng.integers(0, 11)),
        "segmentation": [np.stack((x, y), axis=1).round(1).reshape(-1).tolist()],
        "area": area,
        "bbox": [x.min(), y.min(), float(np.ptp(x)), float(np.ptp(y))],
        "iscrowd": 0,
    }


def write_set(path: Path) -> None:
    """Write the JSON."""
    rng = np.random.default_rng(2021)
    document = {
        "images": [
            {"id": i, "file_name": f"batch/{i:04d}.jpg", "height": 512, "width": 512}
            for i in range(NUM_PHOTOS)
        ],
        "categories": [
            {"id": i, "name": name} for i, name in enumerate(COMPETITION_TABLE.names[1:])
        ],
        "annotations": [make_object(rng, number) for number in range(NUM_OBJECTS)],
    }
    path.write_text(json.dumps(document), "utf-8")


def run(program: str, *arguments: str) -> tuple[float, float]:
    """Return seconds and peak memory in MB of a Python program in a process of its own."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, _, usage = os.wait4(process.pid, 0)
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train_all.json"
        write_set(path)
        size_mb = path.stat().st_size / 1e6
        print(f"{NUM_PHOTOS} photos, {NUM_OBJECTS} objects, {size_mb:.1f} MB of JSON")
        ours, peer = [], []
        for _ in range(NUM_RUNS):
            ours.append(run(DOCTOR, str(path), "--no-photos", "--json"))
            peer.append(run(PEER, str(path)))
    for name, runs in (("bunri doctor --no-photos", ours), ("pycocotools: read, areas", peer)):
        seconds, memory_mb = (statistics.median(values) for values in zip(*runs, strict=True))
        print(f"{name:<28} {seconds:6.2f} s  {memory_mb:6.0f} MB")


if __name__ == "__main__":
    main()
