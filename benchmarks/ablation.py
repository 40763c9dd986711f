"""Effect of single training settings: the default recipe with one setting changed, at equal budget.

Trains and evaluates every variant below with bunri's own commands, then compares all of them with
the default, paired over the validation photos. Finished runs are not repeated, and interrupted ones
are continued.

    python benchmarks/ablation.py --true train.json --extra machine_labelled.json \
        --extra household.json --val val.json --out runs/ablation
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bunri.scores.comparison import ComparedRun, compare_results
from bunri.scores.intervals import Interval
from bunri.scores.result_files import find_result, read_result


@dataclass(frozen=True)
class Variant:
    """One row of the table.

    Attributes:
        name: Name of the run folder.
        title: Description in the table.
        settings: Settings for ``--set``.
        extra: Whether the files of ``--extra`` are trained on.
    """

    name: str
    title: str
    settings: tuple[str, ...] = ()
    extra: bool = True


VARIANTS = (
    Variant("default", "the default recipe"),
    Variant("default-seed22", "the same with another seed", ("seed=22",)),
    Variant("no-pretraining", "random weights in the encoder", ("model.weights=none",)),
    Variant("true-photos-only", "only the photos with true labels", extra=False),
    Variant("ce-only", "cross-entropy without Dice", ("loss.dice=0",)),
    Variant("lovasz", "Lovasz-Softmax instead of Dice", ("loss.dice=0", "loss.lovasz=1")),
    Variant(
        "whole-frames",
        "whole photos at 256 instead of random resized crops",
        ("augment.crop_size_px=null", "input.size_px=256"),
    ),
    Variant(
        "no-color",
        "no change of colours",
        tuple(f"augment.{name}=0.0" for name in ("brightness", "contrast", "saturation", "hue")),
    ),
    Variant("paste", "rare objects pasted into half of the samples", ("augment.paste=0.5",)),
    Variant("classmix", "ClassMix in half of the samples", ("augment.classmix=0.5",)),
    Variant("no-repeat", "photos with rare classes as often as others", ("data.repeat_rare=0",)),
    Variant("no-average", "weights of the last step, no average", ("optim.ema_decay=0",)),
    Variant("unet", "U-Net", ("model.name=unet",)),
    Variant("deeplab", "DeepLabV3+", ("model.name=deeplabv3plus",)),
    Variant("lite2", "EfficientNet-Lite2", ("model.encoder=tf_efficientnet_lite2",)),
)


def run_bunri(*arguments: str) -> None:
    """Run a command of bunri in a process of its own."""
    subprocess.run([sys.executable, "-m", "bunri", *arguments], check=True)


def train_variant(variant: Variant, options: argparse.Namespace) -> Path:
    """Train and evaluate a variant unless that is done; return the run folder."""
    folder: Path = options.out / variant.name
    if (folder / "evaluation").is_dir():
        return folder
    if (folder / "config.yaml").is_file():
        run_bunri("train", "--resume", "--out", str(folder))
    else:
        files = [options.true, *(options.extra if variant.extra else [])]
        data = [part for file in files for part in ("--data", str(file))]
        settings = (f"train.epochs={options.epochs}", "train.precision=f32", *variant.settings)
        changes = [part for setting in settings for part in ("--set", setting)]
        run_bunri("train", *data, "--val", str(options.val), "--out", str(folder), *changes)
    run_bunri("evaluate", str(folder), str(options.val))
    return folder


def show_interval(value: float, interval: Interval | None) -> str:
    """Return a score with its interval."""
    bounds = "" if interval is None else f" ({interval.low:.3f} to {interval.high:.3f})"
    return f"{value:.3f}{bounds}"


def show_row(variant: Variant, run: ComparedRun) -> str:
    """Return a row of the Markdown table."""
    sheet, intervals = run.sheet, run.intervals.overall
    cells = [variant.title, show_interval(sheet.global_miou, intervals["global_miou"])]
    cells.append(f"{sheet.per_image_miou:.3f}")
    if run.differences is None:
        return f"| {' | '.join([*cells, '', ''])} |"
    for name in ("global_miou", "per_image_miou"):
        difference = run.differences.overall[name]
        bounds = difference.interval
        shown = "" if bounds is None else f" ({bounds.low:+.3f} to {bounds.high:+.3f})"
        cells.append(f"{difference.value:+.3f}{shown}, {difference.verdict}")
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--true", type=Path, required=True, metavar="JSON")
    parser.add_argument("--extra", type=Path, action="append", default=[], metavar="JSON")
    parser.add_argument("--val", type=Path, required=True, metavar="JSON")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--epochs", type=int, default=5, help="epochs of 600 samples")
    parser.add_argument("--only", nargs="*", help="names of variants; default: all")
    options = parser.parse_args(arguments)
    variants = [
        variant
        for variant in VARIANTS
        if variant.name == "default" or not options.only or variant.name in options.only
    ]
    folders = {variant.name: train_variant(variant, options) for variant in variants}
    results = {name: read_result(find_result(folder)) for name, folder in folders.items()}
    print("| | `global` mIoU | `per-image` | `global` against the default | `per-image` |")
    print("|---|---|---|---|---|")
    for variant, run in zip(variants, compare_results(results).runs, strict=True):
        print(show_row(variant, run))


if __name__ == "__main__":
    main()
