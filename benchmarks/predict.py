"""Speed from photo to mask on a folder of photos, relative to that of the bare network.

The bare network is given the same frames, prepared beforehand, one by one; ``bunri predict`` reads
each photo, predicts, and writes mask and overlay. Both run in this process, in turn, several times.
Ratios are taken between neighbouring runs, so that other load on the machine affects both; all of
them are printed with their median.

With ``--large``: time and peak memory of the command on a photo of 12 megapixels.

    python benchmarks/predict.py --model runs/first
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from bunri.images.photos import read_photo
from bunri.model.lookup import open_model
from bunri.predict.backends.engines import Backend, open_backend
from bunri.predict.outputs import PredictedPhoto, find_photos, write_prediction
from bunri.predict.predictor import Predictor
from bunri.predict.to_folder import predict_photos
from bunri.scenes import write_sample_dataset

SIDE_PX = 512
LARGE_SIZE_WH = 4000, 3000


def write_photos(folder: Path, count: int) -> list[Path]:
    """Write rendered scenes as JPEG files of 512 x 512."""
    write_sample_dataset(folder / "scenes", num_scenes=max(60, count))
    scenes = sorted(p for p in (folder / "scenes").rglob("*") if p.suffix in (".jpg", ".png"))
    photos = []
    for number, scene in enumerate(scenes[:count]):
        picture = Image.open(scene).convert("RGB").resize((SIDE_PX, SIDE_PX))
        photos.append(folder / "photos" / f"{number:04d}.jpg")
        photos[-1].parent.mkdir(exist_ok=True)
        picture.save(photos[-1], quality=92)
    return photos


def time_network(backend: Backend, frames: list[np.ndarray]) -> float:
    """Return the seconds of the network for all frames."""
    started = time.perf_counter()
    for frame in frames:
        backend.predict_probs(frame)
    return time.perf_counter() - started


def time_predict(predictor: Predictor, photos: list[Path], out: Path) -> float:
    """Return the seconds from the photos to all written files."""

    def write(prediction: PredictedPhoto) -> dict[str, object]:
        return write_prediction(out, prediction, predictor.table)

    tasks = find_photos([photos[0].parent], out)
    started = time.perf_counter()
    rows = list(predict_photos(predictor, tasks, write))
    taken = time.perf_counter() - started
    assert len(rows) == len(photos)
    assert not any("error" in row for row in rows)
    return taken


def measure_large(model: str) -> None:
    """Run the command on 12 megapixels, whole and in tiles; print time and peak memory."""
    with tempfile.TemporaryDirectory() as temporary:
        photo = Path(temporary) / "large.jpg"
        (scene,) = write_photos(Path(temporary), 1)
        with Image.open(scene) as picture:
            picture.resize(LARGE_SIZE_WH).save(photo, quality=92)
        for name, options in (("whole", ()), ("in tiles", ("--tiles", "own"))):
            command = [sys.executable, "-m", "bunri", "predict", model, str(photo), *options]
            command += ["--out", f"{temporary}/{name}"]
            started = time.perf_counter()
            # A new process starts with the peak memory of this one, which is small: only the
            # command loads torch.
            ended = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(ended.pid, 0)
            taken_s = time.perf_counter() - started
            assert status == 0
            size = f"{LARGE_SIZE_WH[0]} x {LARGE_SIZE_WH[1]}"
            print(f"{size} {name}: {taken_s:.1f} s, peak {usage.ru_maxrss * 1024 / 1e6:.0f} MB")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--photos", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--large", action="store_true", help="only the 12-megapixel photo")
    arguments = parser.parse_args()
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {sys.version[:6]}"
    )
    if arguments.large:
        measure_large(arguments.model)
        return
    stored = open_model(arguments.model)
    info, backend = stored.info, open_backend(stored)
    predictor = Predictor(info, backend)
    with tempfile.TemporaryDirectory() as temporary:
        photos = write_photos(Path(temporary), arguments.photos)
        frames = [info.preprocessing.prepare(read_photo(photo)).pixels for photo in photos]
        out = Path(temporary) / "out"
        time_network(backend, frames[:4])
        time_predict(predictor, photos, out)
        ratios, bare_s = [], []
        for _ in range(arguments.rounds):
            before = time_network(backend, frames)
            whole = time_predict(predictor, photos, out)
            after = time_network(backend, frames)
            bare_s.append((before + after) / 2)
            ratios.append(bare_s[-1] / whole)
    rate = len(photos) / statistics.median(bare_s)
    print(f"bare network: {rate:.2f} photos/s (frame {frames[0].shape[1:]})")
    shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    print(f"photo to mask: {statistics.median(ratios):.2f} of it ({shown})")


if __name__ == "__main__":
    main()
