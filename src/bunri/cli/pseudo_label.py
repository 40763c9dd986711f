"""``bunri pseudo-label``: what trained models are sure of, as labels to train on."""

import shlex
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from bunri.cli.console import print_json, print_line, print_note, show_progress
from bunri.cli.options import AsJson, Images
from bunri.cli.prediction import Tta
from bunri.predict.choices import PredictionChoices


def run_pseudo_label(
    models: Annotated[
        list[str], typer.Argument(metavar="TEACHER", help="Run folders or bundle folders.")
    ],
    photos: Annotated[
        Path, typer.Argument(metavar="PHOTOS", help="COCO file, or a folder of photos.")
    ],
    output: Annotated[
        Path, typer.Option("--out", metavar="JSON", help="COCO file to write; must be new.")
    ],
    images: Images = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="How probable the best class of a pixel must be; by default 0.7, with --soft 0.",
        ),
    ] = None,
    class_thresholds: Annotated[
        list[str] | None,
        typer.Option(
            "--class-threshold",
            metavar="NAME=NUMBER",
            help="Another one for a class, such as Glass=0.5; repeatable.",
        ),
    ] = None,
    is_soft: Annotated[
        bool,
        typer.Option(
            "--soft",
            help="Also keep the probabilities, in a folder beside the file; training then learns "
            "from these.",
        ),
    ] = False,
    tta: Tta = None,
    as_json: AsJson = False,
) -> None:
    """Label photos with what one or more models are sure of, to train a student on.

    Several teachers decide by the mean of their probabilities, each of all its views. Pixels that
    no class is sure enough of are ignored in training. Labels that PHOTOS may hold are not looked
    at. The file says that its labels are a model's and whose: train and evaluate refuse it as a
    truth.

    Example: [bold]bunri pseudo-label runs/first runs/second data/test.json --out
    data/test_pseudo.json[/bold]

    Then: [bold]bunri train --data data/train.json --data data/test_pseudo.json --val
    data/val.json --set data.pseudo_weight=0.5 --out runs/student[/bold]
    """
    from bunri.core.errors import OutputError
    from bunri.core.files import check_writable, is_file, is_folder, replace_folder
    from bunri.labels.document import write_document
    from bunri.predict.ensemble import load_models
    from bunri.predict.pseudo_labels import (
        HARD_THRESHOLD,
        SOFT_THRESHOLD,
        SoftPlace,
        describe_pseudo_labels,
        find_unlabelled,
        label_photos,
        measure_shares,
        parse_thresholds,
    )

    folder = output.with_name(f"{output.stem}_soft")
    for path in (output, folder) if is_soft else (output,):
        if is_file(path) or is_folder(path):
            raise OutputError(f"{path} exists already.", hint="Choose another name with --out.")
    check_writable(output)
    adjust = PredictionChoices(tta=tta).plan_adjustment()
    predictor = load_models(models, adjust=adjust)
    table = predictor.table
    if threshold is None:
        threshold = SOFT_THRESHOLD if is_soft else HARD_THRESHOLD
    thresholds = parse_thresholds(table, threshold, class_thresholds or [])
    unlabelled = find_unlabelled(photos, images, table)
    for teacher in predictor.stored:
        if teacher.info.photo_hashes is None:
            print_note(
                f"{teacher.name} was trained before bunri kept which photos a model learned from: "
                "that these labels stem from them cannot be noticed later."
            )
    with replace_folder(folder) if is_soft else nullcontext() as temporary:
        soft = None if temporary is None else SoftPlace(temporary, folder.name)
        labelled = label_photos(predictor, unlabelled, thresholds, soft, show_progress)
    write_document(output, describe_pseudo_labels(labelled, predictor, thresholds))
    shares, unsure = measure_shares(labelled)
    command = ["bunri", "train", "--data", "TRAIN.json", "--data", str(output)]
    if labelled.image_root.resolve() != output.parent.resolve():
        command += ["--images", "TRAIN_PHOTOS", "--images", str(labelled.image_root)]
    following = shlex.join([*command, "--val", "VAL.json", "--out", "runs/student"])
    num_photos = len(labelled.photos)
    if as_json:
        figures = {"num_photos": num_photos, "classes": shares, "unsure": unsure}
        print_json({"out": str(output), **figures, "next": following})
        return
    for name, share in shares.items():
        if share:
            print_line(f"{100 * share:6.2f} %  {name}")
    print_line(f"{100 * unsure:6.2f} %  not sure enough: ignored in training")
    print_line(f"Labels of {num_photos} photos: {output}")
    print_line(f"Next: {following}")
