"""Make bunri-small, the model that ships with bunri, from photos: ``make model``.

Owns which models there are, what is done with them, and in which order. Every step is a bunri
command with a result of its own: a step whose result is there is not done again and a training
that was interrupted goes on, so that this may be stopped at any time and called again.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# What every model here has beyond the recipe best-cpu.
_COMMON = ("train.epochs=40", "augment.paste=0.3", "optim.ema_decay=0.995")

TEACHERS: Mapping[str, Sequence[str]] = {
    "teacher-fpn": ("model.encoder=tf_efficientnet_lite2",),
    "teacher-unet": (
        "model.name=unet",
        "model.encoder=tf_efficientnet_lite2",
        "model.decoder_channels=64",
        "augment.crop_size_px=320",
        "input.size_px=512",
        "seed=22",
    ),
}
"""What sets the teachers apart: they err in different places, at different sizes of the photo."""

STUDENT = ("model.encoder=tf_efficientnet_lite2", "model.decoder_channels=64", "seed=23")
"""Half of the first teacher's decoder: it costs more time than the encoder."""


@dataclass(frozen=True, slots=True)
class Photos:
    """Where the photos are: the layout of the data the model is made from."""

    root: Path

    @property
    def true(self) -> Path:
        """The photos with true labels to train on."""
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
        is_resumed: It goes on with ``--resume`` if it was begun: a training.
    """

    makes: Path
    command: tuple[str, ...]
    is_resumed: bool = False


def list_steps(photos: Photos, out: Path) -> Iterator[Step]:
    """Yield every step in its order."""
    teachers = [out / name for name in TEACHERS]
    for folder, settings in zip(teachers, TEACHERS.values(), strict=True):
        yield _train(folder, settings, photos.labelled, photos.val)
        yield from _measure(folder, folder.name, photos, out)
    ensemble, pseudo, student = out / "ensemble.json", out / "test_soft.json", out / "student"
    members = tuple(map(str, teachers))
    yield Step(ensemble, ("tune", *members, str(photos.val), "--out", str(ensemble)))
    yield from _measure(ensemble, "ensemble", photos, out)
    yield Step(pseudo, ("pseudo-label", *members, str(photos.test), "--soft", "--out", str(pseudo)))
    yield _train(student, STUDENT, (*photos.labelled, pseudo), photos.val)
    yield from _measure(student, "bunri-small-f32", photos, out)
    small = out / "bunri-small"
    export = ("export", str(student), "--int8", "--calibration", str(photos.true))
    yield Step(small, (*export, "--val", str(photos.val), "--out", str(small)))
    yield from _measure(small, "bunri-small-int8", photos, out)


def _train(run: Path, settings: Sequence[str], data: Sequence[Path], val: Path) -> Step:
    command = ["train", "--recipe", "best-cpu", "--val", str(val), "--out", str(run)]
    for file in data:
        command += ["--data", str(file)]
    for setting in (*_COMMON, *settings):
        command += ["--set", setting]
    return Step(run / "done", tuple(command), is_resumed=True)


def _measure(model: Path, name: str, photos: Photos, out: Path) -> Iterator[Step]:
    """Yield the steps that score a model and write its submission."""
    evaluation, submission = out / f"{name}-evaluation", out / f"{name}.csv.gz"
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
    run = step.makes.parent
    if step.is_resumed and (run / "config.yaml").exists():
        command = ["train", "--resume", "--out", str(run)]
    print("\n$ bunri", *command, flush=True)
    started = time.monotonic()
    status = subprocess.run([sys.executable, "-m", "bunri", *command], check=False).returncode
    if status:
        sys.exit(status)
    if step.is_resumed:
        step.makes.touch()
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
