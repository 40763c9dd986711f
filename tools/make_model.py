"""Make bunri-small, the model that ships with bunri, from photos: ``make model``.

Owns which networks are trained, what is done with them, and in which order. Every step is a bunri
command with a result of its own: a step whose result is there is not done again, and a training
that was interrupted goes on, so that this may be stopped at any time and called again.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# What the longest run has beyond the recipe best-cpu. Blur, noise and JPEG are what cost a
# model trained without them most (docs/results.md, "Robustness").
_LONGER = (
    "augment.paste=0.3",
    "augment.blur=0.15",
    "augment.noise=0.15",
    "augment.jpeg=0.15",
    "optim.ema_decay=0.995",
)

NOTES = Path(__file__).with_name("bunri-small.md")
"""What the card of the shipped model says that only people know."""

RUNS: Mapping[str, Sequence[str]] = {
    "bunri-small": (*_LONGER, "model.encoder=tf_efficientnet_lite2", "train.epochs=56"),
    "lite1": ("model.encoder=tf_efficientnet_lite1", "train.epochs=10", "seed=22"),
    "best-cpu": (),
}
"""Settings beyond the recipe best-cpu, the shipped one first. The others are there to say what an
ensemble would add."""


@dataclass(frozen=True, slots=True)
class Photos:
    """Where the photos are: the layout of the data the model is made from."""

    root: Path

    @property
    def true(self) -> Path:
        """The photos with true labels to train on; quantisation is calibrated on them, too."""
        return self.root / "recycle_trash" / "train.json"

    @property
    def val(self) -> Path:
        """The photos that every choice is made on."""
        return self.root / "recycle_trash" / "val.json"

    @property
    def test(self) -> Path:
        """The photos whose labels are kept back."""
        return self.root / "recycle_trash" / "test.json"

    @property
    def labelled(self) -> tuple[Path, ...]:
        """Everything to train on."""
        return (
            self.true,
            self.root / "recycle_trash_machine_labelled" / "machine_labelled.json",
            self.root / "household_objects" / "train.json",
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One command.

    Attributes:
        makes: What is there once the command has ended well, and no earlier.
        command: Arguments of ``bunri``.
        run: The run folder, if it is a training, which goes on with ``--resume``.
    """

    makes: Path
    command: tuple[str, ...]
    run: Path | None = None


def list_steps(photos: Photos, out: Path) -> Iterator[Step]:
    """Yield every step in its order."""
    runs = [out / name for name in RUNS]
    for run, settings in zip(runs, RUNS.values(), strict=True):
        yield _train(run, settings, photos)
        yield from _measure(run, run.name, photos, out)
    shipped = out / "shipped" / "bunri-small"
    fitted = ("--int8", "--calibration", str(photos.true), "--val", str(photos.val))
    options = (*fitted, "--notes", str(NOTES), "--out", str(shipped))
    yield Step(shipped, ("export", str(runs[0]), *options))
    yield from _measure(shipped, "bunri-small-int8", photos, out)
    ensemble = out / "ensemble.json"
    members = tuple(map(str, runs))
    yield Step(ensemble, ("tune", *members, str(photos.val), "--out", str(ensemble)))
    yield from _measure(ensemble, "ensemble", photos, out)


def _train(run: Path, settings: Sequence[str], photos: Photos) -> Step:
    command = ["train", "--recipe", "best-cpu", "--val", str(photos.val), "--out", str(run)]
    for file in photos.labelled:
        command += ["--data", str(file)]
    for setting in settings:
        command += ["--set", setting]
    return Step(run / "trained", tuple(command), run)


def _measure(model: Path, name: str, photos: Photos, out: Path) -> Iterator[Step]:
    """Yield the steps that score a model and write its submission."""
    evaluation, submission = out / "evaluations" / name, out / "submissions" / f"{name}.csv.gz"
    yield Step(evaluation, ("evaluate", str(model), str(photos.val), "--out", str(evaluation)))
    yield Step(submission, ("submit", str(model), str(photos.test), "--out", str(submission)))


def run_step(step: Step) -> None:
    """Do a step unless it is done.

    Raises:
        SystemExit: The command failed.
    """
    if step.makes.exists():
        return
    command = list(step.command)
    if step.run is not None and (step.run / "config.yaml").exists():
        command = ["train", "--resume", "--out", str(step.run)]
    print("\n$ bunri", *command, flush=True)
    started = time.monotonic()
    status = subprocess.run([sys.executable, "-m", "bunri", *command], check=False).returncode
    if status:
        sys.exit(status)
    if step.run is not None:
        step.makes.touch()  # a run's own files are there before it has ended
    print(f"{step.makes.name}: {time.monotonic() - started:.0f} s", flush=True)


def main() -> None:
    """Do all steps."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", type=Path, help="folder of the photos")
    parser.add_argument("out", type=Path, help="folder for all that is made; call again to go on")
    parser.add_argument("--list", action="store_true", help="print the steps and do nothing")
    options = parser.parse_args()
    for step in list_steps(Photos(options.photos), options.out):
        if options.list:
            print("bunri", *step.command)
        else:
            run_step(step)


if __name__ == "__main__":
    main()
