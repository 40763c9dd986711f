"""Training samples per second, compared with a Lightning script that trains the same network.

bunri and ``training_peer.py`` train FPN on EfficientNet-Lite0 in float32 with the same batch,
crops, augmentation, loss, optimiser and number of loader processes, in turn and each in a new
process. The last epoch is measured, without validation. bunri does more work in it: it averages
the weights and checks every loss and gradient. In both, waiting threads sleep (as always in
bunri); busy waiting would make the peer several times slower if anything else uses the cores.
Prints medians. Waiting is the time in which a step could not start for lack of a batch (for the
peer: all time between two steps); memory is the largest resident size of one process.

    python benchmarks/training.py --data ../shared/data/recycle_trash/train.json
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import torch

from bunri.scenes import write_sample_dataset

NUM_SCENES = 60
NUM_EPOCHS = 2
TIMINGS = "timings.jsonl"
NUM_VAL_PHOTOS = 2
"""Photos for validation, which is not measured but which a run requires."""


def list_bunri_arguments(arguments: argparse.Namespace, folder: Path) -> list[str]:
    """Return the command that trains with bunri; a few training photos serve as validation."""
    document = json.loads(arguments.data.read_text("utf-8"))
    document["images"] = document["images"][:NUM_VAL_PHOTOS]
    kept = {row["id"] for row in document["images"]}
    document["annotations"] = [r for r in document["annotations"] if r["image_id"] in kept]
    val = folder / "val.json"
    val.write_text(json.dumps(document), "utf-8")
    settings = {
        "model.weights": "none",
        "augment.crop_size_px": arguments.crop,
        "train.epochs": NUM_EPOCHS,
        "train.samples_per_epoch": arguments.samples,
        "train.batch_size": arguments.batch,
        "train.num_workers": arguments.workers,
        "train.precision": "f32",
        "train.num_sample_pictures": 0,
        "data.allow_leaks": "true",
    }
    root = str(arguments.data.parent)
    return [
        *("-m", "bunri", "train", "--out", str(folder / "run")),
        *("--data", str(arguments.data), "--val", str(val), "--val-images", root),
        *(f"--set={name}={value}" for name, value in settings.items()),
    ]


def list_peer_arguments(arguments: argparse.Namespace, folder: Path) -> list[str]:
    """Return the command that trains with Lightning."""
    names = ("data", "samples", "batch", "crop", "workers")
    options = [f"--{name}={getattr(arguments, name)}" for name in names]
    script = Path(__file__).with_name("training_peer.py")
    return [str(script), f"--epochs={NUM_EPOCHS}", f"--out={folder / TIMINGS}", *options]


def measure(name: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Return samples/s, share of waiting and memory in MB of one peer, in a process of its own."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        is_ours = name == "bunri"
        command = (list_bunri_arguments if is_ours else list_peer_arguments)(arguments, folder)
        environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, *command], stdout=log, stderr=log, env=environment
            )
            _, status, usage = os.wait4(process.pid, 0)
        assert status == 0, (folder / "log").read_text("utf-8", "replace")
        timings = folder / "run" / TIMINGS if is_ours else folder / TIMINGS
        last = json.loads(timings.read_text("utf-8").splitlines()[-1])
    return {
        "samples_per_s": arguments.samples / last["train_s"],
        "wait_share": last["wait_s"] / last["train_s"],
        "memory_mb": usage.ru_maxrss / 1024,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, help="COCO file beside its photos; default: rendered scenes"
    )
    parser.add_argument("--samples", type=int, default=320, help="samples per epoch")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--crop", type=int, default=256)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.data is None:
            arguments.data = write_sample_dataset(Path(folder) / "data", NUM_SCENES).train_json
        compare(arguments)


def compare(arguments: argparse.Namespace) -> None:
    """Train with both in turn; print a line for each round, and the medians."""
    libraries = ("torch", "lightning", "segmentation_models_pytorch")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in libraries)
    cores = len(os.sched_getaffinity(0))
    print(f"{platform.processor() or platform.machine()}, {cores} cores; {versions}")
    print(
        f"batches of {arguments.batch}, crops of {arguments.crop}, {arguments.workers} loader "
        f"process(es), epochs of {arguments.samples} samples, {torch.get_num_threads()} threads"
    )
    runs: dict[str, list[dict[str, float]]] = {"bunri": [], "smp + Lightning": []}
    for number in range(1, arguments.rounds + 1):
        for name, results in runs.items():
            results.append(measure(name, arguments))
            print(f"round {number}  {describe(name, results[-1])}", flush=True)
    medians = {
        name: {key: statistics.median(r[key] for r in results) for key in results[0]}
        for name, results in runs.items()
    }
    for name, values in medians.items():
        print(f"median   {describe(name, values)}")
    ours, peer = (values["samples_per_s"] for values in medians.values())
    print(f"bunri trains on {ours / peer:.2f} times as many samples per second")


def describe(name: str, values: dict[str, float]) -> str:
    """Return a line of results."""
    return (
        f"{name:<16} {values['samples_per_s']:6.1f} samples/s  "
        f"waiting {100 * values['wait_share']:4.1f} %  {values['memory_mb']:6.0f} MB"
    )


if __name__ == "__main__":
    main()
