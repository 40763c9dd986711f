"""``bunri train``: from annotations to a run folder with the best model in it."""

import shlex
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from bunri.cli.console import print_line
from bunri.cli.options import AllowPseudo, require_torch
from bunri.cli.score_display import format_score
from bunri.model.bundle import read_bundle
from bunri.training.config import DEFAULT_RECIPE, dump_config, load_config, read_recipe


def run_train(
    recipe: Annotated[
        str | None, Option(help="Name of a recipe, or a YAML file; fpn-lite0 by default.")
    ] = None,
    data: Annotated[
        list[Path] | None, Option(metavar="JSON", help="COCO file to train on; repeatable.")
    ] = None,
    val: Annotated[
        list[Path] | None, Option(metavar="JSON", help="COCO file to validate on; repeatable.")
    ] = None,
    num_folds: Annotated[
        int | None,
        Option(
            "--folds",
            metavar="K",
            min=2,
            help="Instead of --val: split the photos of --data into K folds, train one model per "
            "fold on the other folds, and score each photo with the model that never saw it.",
        ),
    ] = None,
    also_train: Annotated[
        list[Path] | None,
        Option(
            metavar="JSON",
            help="With --folds: COCO file that every fold trains on and none validates on, such "
            "as pseudo-labels; repeatable.",
        ),
    ] = None,
    run_folder: Annotated[
        Path, Option("--out", metavar="RUN", help="Folder of the run; must be new or empty.")
    ] = Path("runs/latest"),
    images: Annotated[
        list[Path] | None,
        Option(metavar="DIR", help="Photos of each --data, in order, if not beside it."),
    ] = None,
    val_images: Annotated[
        list[Path] | None,
        Option(metavar="DIR", help="Photos of each --val, in order, if not beside it."),
    ] = None,
    also_images: Annotated[
        list[Path] | None,
        Option(metavar="DIR", help="Photos of each --also-train, if not beside it."),
    ] = None,
    allow_pseudo: AllowPseudo = None,
    overrides: Annotated[
        list[str] | None, Option("--set", metavar="KEY=VALUE", help="Change a setting; repeatable.")
    ] = None,
    num_devices: Annotated[
        int | None,
        Option(
            "--devices",
            metavar="N",
            min=1,
            help="Processes on each machine, one a GPU; together they work through each batch. "
            "Without it: what torchrun or SLURM started, else one.",
        ),
    ] = None,
    num_nodes: Annotated[
        int | None,
        Option("--nodes", metavar="M", min=1, help="Machines; each runs this same command."),
    ] = None,
    resume: Annotated[
        bool,
        Option(
            "--resume", help="Continue the run in --out with its own settings; on any --devices."
        ),
    ] = False,
    show_config: Annotated[
        bool, Option("--show-config", help="Print the resolved settings and exit.")
    ] = False,
) -> None:
    """Train a network and keep its best epoch.

    Example: [bold]bunri train --data data/train.json --val data/val.json --out runs/first[/bold]

    By folds: [bold]bunri train --data data/train_all.json --folds 5 --out runs/folds[/bold]; each
    of RUN/fold_1, RUN/fold_2, ... is a run, and RUN/out_of_fold.json is the score of all photos.

    Change a setting: [bold]--set optim.lr=3e-4 --set train.epochs=40[/bold]. All settings with
    their meaning: [bold]--show-config[/bold], and the recipes' comments. After Ctrl-C or a
    crash: [bold]bunri train --resume --out runs/first[/bold]. On four GPUs: [bold]--devices
    4[/bold]; the size of a batch stays the same.
    """
    if resume and any((recipe, data, val, images, val_images, num_folds, also_train, also_images,
                       allow_pseudo, overrides, show_config)):  # fmt: skip
        raise typer.BadParameter(
            "--resume continues with the data and settings of the run in --out; "
            "leave out all options but --out, --devices and --nodes, or start a new run without "
            "--resume."
        )
    recipe = recipe or DEFAULT_RECIPE
    config = None if resume else load_config(read_recipe(recipe), overrides or [], source=recipe)
    if show_config and config is not None:
        typer.echo(dump_config(config), nl=False)
        return
    if config is not None and not (data and (val or num_folds)):
        raise typer.BadParameter("Give at least one --data and one --val, or --folds, or --resume.")
    _refuse_mixture(num_folds, (val, val_images, allow_pseudo), (also_train, also_images))
    require_torch("Training")
    # These import torch.
    from bunri.cli.training_display import (
        explain_stop,
        open_display,
        silence_followers,
        train_folds,
    )
    from bunri.training.folds import FoldsFolder, FoldsRequest
    from bunri.training.launching import open_processes, run_workers
    from bunri.training.plan import DataSource, RunFolder, RunPlan
    from bunri.training.runs import resume_training, start_training
    from bunri.training.termination import Termination

    train_sources = DataSource.pair(data or [], images or [], "--images")
    request = None
    if config is not None and num_folds is not None:
        also_sources = DataSource.pair(also_train or [], also_images or [], "--also-images")
        request = FoldsRequest(config, train_sources, also_sources, num_folds)
    if request is not None or (resume and FoldsFolder(run_folder).plan.is_file()):
        if (num_devices, num_nodes) != (None, None):
            raise typer.BadParameter("Folds are trained by one process; leave out --devices.")
        train_folds(request, run_folder)
        return

    status = run_workers(num_devices, num_nodes)
    if status is not None:
        raise typer.Exit(status)
    folder = RunFolder(run_folder)
    with (
        open_processes(num_devices, num_nodes) as processes,
        silence_followers(processes),
        explain_stop(run_folder, folder.config),
        open_display() as display,
        Termination() as stop,
    ):
        if config is None:
            result = resume_training(folder, display, processes, stop)
        else:
            val_sources = DataSource.pair(
                val or [], val_images or [], "--val-images", allow_pseudo=allow_pseudo or []
            )
            plan = RunPlan(config, train_sources, val_sources)
            result = start_training(plan, folder, display, processes, stop)
    best = result.best
    print_line(
        f"Best epoch {best['epoch']} of {result.num_epochs}: "
        f"global mIoU {format_score(best['miou']['global'])}, "
        f"per-image {format_score(best['miou']['per_image'])}, "
        f"loss {best['val_loss']:.4f}"
    )
    licenses = read_bundle(folder.bundle).licenses
    print_line(f"Licences: weights {licenses['weights']}; photos {licenses['data']}")
    print_line(f"Model: {folder.bundle}   Figures: {folder.metrics}   Pictures: {folder.samples}")
    following = ["bunri", "evaluate", str(run_folder), str(val[0]) if val else "VAL.json"]
    following += ["--images", str(val_images[0])] if val_images else []
    print_line(f"Next: {shlex.join(following)}")


def _refuse_mixture(
    num_folds: int | None, val_options: tuple[object, ...], fold_options: tuple[object, ...]
) -> None:
    """Refuse options of a single run together with those of folds."""
    if num_folds is not None and any(val_options):
        raise typer.BadParameter(
            "--folds validates on the photos of --data; leave out --val, or give its file as "
            "another --data."
        )
    if num_folds is None and any(fold_options):
        raise typer.BadParameter("--also-train belongs to --folds; without it, use --data.")
