"""What bunri takes where it only predicts: a venv without extras, so without torch.

Makes a fresh venv, installs the project into it, and prints how large it is and what takes the
space, how long ``import bunri`` and the first prediction take, how much memory that holds, and
whether every command that needs no training works. Limits stand beside the figures; exit code 1 if
one is not kept.

    python benchmarks/light.py MODEL
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from bunri.classes import COMPETITION_TABLE

PROJECT = Path(__file__).parents[1]
PHOTO_SIZE_PX = 512
NUM_RUNS = 5
MAX_VENV_MB, MAX_IMPORT_S, MAX_ANSWER_S, MAX_MEMORY_MB = 350.0, 0.3, 2.0, 400.0
# Starts a command, then says how much memory its process held at most.
_WATCH = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


def make_venv(folder: Path) -> Path:
    """Install the project without extras; return the folder of programs."""
    venv.create(folder, with_pip=True)
    programs = folder / "bin"
    subprocess.run([programs / "pip", "install", "--quiet", PROJECT], check=True)
    return programs


def measure_mb(path: Path) -> float:
    """Return the size of a file, or of all files in a folder, in MB of 10^6 bytes."""
    if path.is_file():
        return path.stat().st_size / 1e6
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file()) / 1e6


def time_median_s(command: Sequence[str | Path], folder: Path) -> float:
    """Return the median time of a command over a few runs, the first one left out."""
    times_s = []
    for _ in range(1 + NUM_RUNS):
        started = time.perf_counter()
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        times_s.append(time.perf_counter() - started)
    return statistics.median(times_s[1:])


def write_sample(folder: Path) -> None:
    """Write a photo and a COCO file with a label for it."""
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8))
    side = PHOTO_SIZE_PX
    small.resize((side, side), Image.Resampling.BICUBIC).save(folder / "photo.jpg", quality=92)
    names = [one.name for one in COMPETITION_TABLE.classes[1:]]
    outline = [[0, 0, side, 0, side, side / 2, 0, side / 2]]
    content = {
        "images": [{"id": 0, "file_name": "photo.jpg", "width": side, "height": side}],
        "categories": [{"id": i, "name": name} for i, name in enumerate(names)],
        "annotations": [{"id": 0, "image_id": 0, "category_id": 2, "segmentation": outline}],
    }
    (folder / "labels.json").write_text(json.dumps(content))


def report(name: str, value: float, limit: float, unit: str) -> bool:
    """Print a figure beside its limit; return whether it is kept."""
    print(f"{name:<34} {value:8.2f} {unit:<3} (at most {limit:g})")
    return value <= limit


def list_commands(bunri: Path, model: str) -> list[list[str | Path]]:
    """Return commands that need no training."""
    return [
        [bunri, "submit", model, "labels.json", "--out", "submission.csv"],
        [bunri, "check-submission", "submission.csv", "labels.json"],
        [bunri, "score", "submission.csv", "labels.json"],
        [bunri, "evaluate", model, "labels.json"],
    ]


def runs_well(command: Sequence[str | Path], folder: Path) -> bool:
    """Run a command; print and return whether it ended with 0."""
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    said = f"ended with {ended.returncode}: {ended.stderr}" if ended.returncode else "done"
    print(f"{command[1]}: {said}")
    return not ended.returncode


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", metavar="MODEL", help="bundle with an ONNX file, or a shipped one")
    model = parser.parse_args().model
    model = str(Path(model).absolute()) if Path(model).exists() else model
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["BUNRI_CACHE"] = str(folder / "cache")
        programs = make_venv(folder / "venv")
        write_sample(folder)
        packages = next((folder / "venv" / "lib").glob("python*/site-packages"))
        kept = [report("venv", measure_mb(folder / "venv"), MAX_VENV_MB, "MB")]
        largest = sorted(packages.iterdir(), key=measure_mb, reverse=True)[:12]
        print("  " + ", ".join(f"{path.name} {measure_mb(path):.0f}" for path in largest))
        python, bunri = programs / "python", programs / "bunri"
        empty_s = time_median_s([python, "-c", "pass"], folder)
        import_s = time_median_s([python, "-c", "import bunri"], folder) - empty_s
        kept.append(report("import bunri", import_s, MAX_IMPORT_S, "s"))
        predict = [bunri, "predict", model, "photo.jpg", "--out", "out"]
        kept.append(report("bunri predict", time_median_s(predict, folder), MAX_ANSWER_S, "s"))
        watched = [sys.executable, "-c", _WATCH, *map(str, predict)]
        held = subprocess.run(watched, cwd=folder, check=True, capture_output=True, text=True)
        kept.append(report("  its memory", int(held.stdout) * 1024 / 1e6, MAX_MEMORY_MB, "MB"))
        kept += [runs_well(command, folder) for command in list_commands(bunri, model)]
        kept.append(not list(packages.glob("torch")))
    sys.exit(0 if all(kept) else 1)


if __name__ == "__main__":
    main()
