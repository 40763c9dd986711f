"""``bunri pseudo-label``: labels by trained models, to train on."""

import shlex
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from bunri.cli.console import print_json, print_line, print_warnings, show_progress
from bunri.cli.options import AsJson, Images, Tta
from bunri.predict.choices import PredictionChoices
from bunri.predict.pseudo_labels import write_pseudo_labels


def run_pseudo_label(
    models: Annotated[
        list[str], Argument(metavar="TEACHER...", help="Models, as for bunri predict.")
    ],
    photos: Annotated[Path, Argument(metavar="PHOTOS", help="COCO file, or a folder of photos.")],
    output: Annotated[
        Path, Option("--out", metavar="JSON", help="COCO file to write; must be new.")
    ],
    images: Images = None,
    threshold: Annotated[
        float | None,
        Option(
            min=0,
            max=1,
            help="Least probability of the best class of a pixel; by default 0.7, with --soft 0.",
        ),
    ] = None,
    class_thresholds: Annotated[
        list[str] | None,
        Option(
            "--class-threshold",
            metavar="NAME=NUMBER",
            help="Threshold of one class, such as Glass=0.5; repeatable.",
        ),
    ] = None,
    is_soft: Annotated[
        bool,
        Option(
            "--soft",
            help="Also write the probabilities, in a folder beside the file; training then uses "
            "them.",
        ),
    ] = False,
    tta: Tta = None,
    as_json: AsJson = False,
) -> None:
    """Label photos with trained models, to train another model on them.

    Several teachers decide by the mean of their probabilities. Pixels where no class is probable
    enough are ignored in training. Labels in PHOTOS are ignored. The file is marked as
    pseudo-labels of these models: evaluate, and train for validation, refuse it.

    Example: [bold]bunri pseudo-label runs/first runs/second data/test.json --out
    data/test_pseudo.json[/bold]

    Then: [bold]bunri train --data data/train.json --data data/test_pseudo.json --val
    data/val.json --set data.pseudo_weight=0.5 --out runs/student[/bold]
    """
    labels = write_pseudo_labels(
        models,
        photos,
        output,
        images=images,
        choices=PredictionChoices(tta=tta),
        threshold=threshold,
        class_thresholds=class_thresholds or (),
        is_soft=is_soft,
        progress=show_progress,
    )
    print_warnings(labels.warnings)
    command = ["bunri", "train", "--data", "TRAIN.json", "--data", str(output)]
    root = labels.labelled.image_root
    if root.resolve() != output.parent.resolve():
        command += ["--images", "TRAIN_PHOTOS", "--images", str(root)]
    following = shlex.join([*command, "--val", "VAL.json", "--out", "runs/student"])
    num_photos = len(labels.labelled.photos)
    if as_json:
        figures = {"num_photos": num_photos, "classes": labels.shares, "unsure": labels.unsure}
        print_json({"out": str(output), **figures, "next": following})
        return
    for name, share in labels.shares.items():
        if share:
            print_line(f"{100 * share:6.2f} %  {name}")
    print_line(f"{100 * labels.unsure:6.2f} %  not sure enough: ignored in training")
    print_line(f"Labels of {num_photos} photos: {output}")
    print_line(f"Next: {following}")
