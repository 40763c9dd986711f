"""Make bunri-small, the model that ships with bunri, from photos: ``make model``.

Every step is a bunri command with a result of its own. Steps whose result exists are skipped and
interrupted trainings are continued, so the script can be stopped at any time and called again.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

# Settings of the longest runs in addition to the recipe best-cpu. Blur, noise and JPEG lower the
# scores of a model trained without them most (benchmarks/results.md, "Robustness").
_LARGER = ("model.encoder=tf_efficientnet_lite2", "augment.paste=0.3", "optim.ema_decay=0.995")
_ROBUST = ("augment.blur=0.15", "augment.noise=0.15", "augment.jpeg=0.15")

NAME = "bunri-small"
NOTES = Path(__file__).with_name(f"{NAME}.md")
"""Sections of the model card that are written by hand."""

TEACHERS: Mapping[str, Sequence[str]] = {
    "teacher-1": (*_LARGER, *_ROBUST, "train.epochs=56"),
    "teacher-2": (*_LARGER, "train.epochs=40"),
}
"""Settings of the teachers in addition to the recipe best-cpu."""
VIEWS = "hflip,vflip,turns"
"""Test-time augmentation of the teachers."""
STUDENT = ("model.encoder=tf_efficientnet_lite2", "augment.paste=0.3", *_ROBUST,
           "augment.quarter_turn=0.2", "optim.lr=3e-4", "train.epochs=14")  # fmt: skip
"""Settings of the student, from which the shipped model is exported, in addition to the recipe
best-cpu. It starts from the weights of ``FIRST``, and is also trained on the test photos with
pseudo-labels of both teachers."""
FIRST = "teacher-2"
FRAME_PX = 320
"""Frame size of the shipped model, smaller than the student's for speed."""
FINE = 1.2
"""Ratio of the student's frame size to ``FRAME_PX``."""

_SMALL_PHOTOS = ("input.size_px=256",)
_FROM_NOTHING = (*_SMALL_PHOTOS, "model.weights=none", "train.samples_per_epoch=600",
                 "train.num_workers=1")  # fmt: skip
REFERENCES: Mapping[str, tuple[str, Sequence[str]]] = {
    "best-cpu": ("best-cpu", ()),
    # A first script with segmentation_models.pytorch: Adam, cross-entropy, no augmentation.
    "plain-smp": ("best-cpu", (
        *_SMALL_PHOTOS, "augment.crop_size_px=null", "augment.hflip=0", "augment.vflip=0",
        "augment.brightness=0", "augment.contrast=0", "augment.saturation=0", "augment.hue=0",
        "data.repeat_rare=0", "loss.dice=0", "optim.name=adam", "optim.lr=1e-4",
        "optim.encoder_lr_scale=1", "optim.weight_decay=0", "optim.schedule=constant",
        "optim.warmup=0", "optim.ema_decay=0",
    )),
    "unet-mobilenetv2": ("unet-mobilenetv2", (*_FROM_NOTHING, "train.epochs=10")),
    "fcn8s": ("fcn8s-fixed", (*_FROM_NOTHING, "train.epochs=3")),
    "segnet": ("segnet-vgg16", (*_FROM_NOTHING, "train.epochs=3")),
}  # fmt: skip
"""Recipe and settings of the networks for comparison, a quarter to half an hour each. Those on
VGG16 and MobileNetV2 start from random weights, since their ImageNet weights are a download."""


@dataclass(frozen=True, slots=True)
class Photos:
    """The folder of the photos, and the files in it."""

    root: Path

    @property
    def true(self) -> Path:
        """Training photos with true labels, also used to calibrate quantisation."""
        return self.root / "recycle_trash" / "train.json"

    @property
    def val(self) -> Path:
        """Validation photos, on which all choices are made."""
        return self.root / "recycle_trash" / "val.json"

    @property
    def test(self) -> Path:
        """Test photos, whose labels are not published."""
        return self.root / "recycle_trash" / "test.json"

    @property
    def labelled(self) -> tuple[Path, ...]:
        """All labelled files to train on."""
        return (
            self.true,
            self.root / "recycle_trash_machine_labelled" / "machine_labelled.json",
            self.root / "household_objects" / "train.json",
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One command.

    Attributes:
        makes: Path that exists once the command has succeeded, and not before.
        command: Arguments of ``bunri``.
        run: Run folder of a training, which can be continued with ``--resume``.
    """

    makes: Path
    command: tuple[str, ...]
    run: Path | None = None


def list_steps(
    photos: Photos, out: Path, *, compares: bool = False, epochs: int | None = None
) -> Iterator[Step]:
    """Yield all steps in order.

    Args:
        photos: Photos to train on.
        out: Folder for all results.
        compares: Whether the references are trained as well.
        epochs: Number of epochs of every training, instead of its own.
    """
    shorter = () if epochs is None else ("--set", f"train.epochs={epochs}")
    for step in _list_own_steps(photos, out, compares=compares):
        yield step if step.run is None else replace(step, command=(*step.command, *shorter))


def _list_own_steps(photos: Photos, out: Path, *, compares: bool) -> Iterator[Step]:
    teachers = [out / name for name in TEACHERS]
    for run, settings in zip(teachers, TEACHERS.values(), strict=True):
        yield _train(run, "best-cpu", settings, photos)
        yield from _measure((run,), run.name, photos, out)
    views = ("--tta", VIEWS)
    yield from _measure(teachers, "teachers", photos, out, *views)
    pseudo = out / "test_by_teachers.json"
    label = ("pseudo-label", *map(str, teachers), str(photos.test), "--soft", *views)
    yield Step(pseudo, (*label, "--out", str(pseudo)))
    student = out / "student"
    yield _train(student, "best-cpu", (f"model.weights={out / FIRST}", *STUDENT), photos, pseudo)
    yield from _measure((student,), student.name, photos, out)
    yield from _measure((*teachers, student), "ensemble", photos, out, *views)
    yield from _export(student, photos, out)
    for name, (recipe, settings) in REFERENCES.items() if compares else ():
        yield _train(out / name, recipe, settings, photos)
        yield from _measure((out / name,), name, photos, out)


def _export(student: Path, photos: Photos, out: Path) -> Iterator[Step]:
    """Yield the export of the shipped model, and of the same in float32 for comparison."""
    exact, shipped = out / f"{NAME}-f32", out / "shipped" / NAME
    frame = ("--frame-px", str(FRAME_PX), "--val", str(photos.val))
    yield Step(exact, ("export", str(student), *frame, "--out", str(exact)))
    yield from _measure((exact,), exact.name, photos, out)
    fitted = (*frame, "--int8", "--calibration", str(photos.true), "--notes", str(NOTES))
    yield Step(shipped, ("export", str(student), *fitted, "--out", str(shipped)))
    yield from _measure((shipped,), f"{NAME}-int8", photos, out)
    yield from _measure((shipped,), f"{NAME}-fine", photos, out, "--set", f"scales=[{FINE}]")


def _train(
    run: Path, recipe: str, settings: Sequence[str], photos: Photos, pseudo: Path | None = None
) -> Step:
    """Return a training, with pseudo-labels of the test photos if they are given."""
    files = [*photos.labelled, *([pseudo] if pseudo else [])]
    folders = [
        *(file.parent for file in photos.labelled),
        *([photos.test.parent] if pseudo else []),
    ]
    command = ["train", "--recipe", recipe, "--val", str(photos.val), "--out", str(run)]
    for file, folder in zip(files, folders, strict=True):
        command += ["--data", str(file), "--images", str(folder)]
    for setting in settings:
        command += ["--set", setting]
    return Step(run / "trained", tuple(command), run)


def _measure(
    models: Sequence[Path], name: str, photos: Photos, out: Path, *options: str
) -> Iterator[Step]:
    """Yield the steps that score models, several as an ensemble, and write their submission."""
    evaluation, submission = out / "evaluations" / name, out / "submissions" / f"{name}.csv.gz"
    given = tuple(map(str, models))
    evaluate = ("evaluate", *given, str(photos.val), *options, "--out", str(evaluation))
    yield Step(evaluation, evaluate)
    submit = ("submit", *given, str(photos.test), *options, "--out", str(submission))
    yield Step(submission, submit)


def run_step(step: Step) -> None:
    """Run a step unless its result exists.

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
        step.makes.touch()  # the files of a run exist before it has ended
    print(f"{step.makes.name}: {time.monotonic() - started:.0f} s", flush=True)


def main() -> None:
    """Run all steps."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", type=Path, help="folder with the photos")
    parser.add_argument("out", type=Path, help="folder for all results; call again to continue")
    parser.add_argument("--list", action="store_true", help="print the steps and do nothing")
    parser.add_argument(
        "--references", action="store_true", help="also train the networks for comparison"
    )
    parser.add_argument(
        "--epochs",
        type=int,
        help="epochs of every training, to test the steps; the int8 export may refuse the result",
    )
    options = parser.parse_args()
    photos = Photos(options.photos)
    for step in list_steps(photos, options.out, compares=options.references, epochs=options.epochs):
        if options.list:
            print("bunri", *step.command)
        else:
            run_step(step)


if __name__ == "__main__":
    main()
