"""``bunri split``: training and validation sets that share no photo, out of one COCO file."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

from bunri.cli.console import (
    clean,
    make_table,
    out,
    print_json,
    print_line,
    print_note,
    show_progress,
)
from bunri.cli.options import AsJson, Images, Rule
from bunri.core.errors import MAX_PROBLEMS_SHOWN, drop_controls
from bunri.labels.sources import pair_roots
from bunri.split.folds import Parts
from bunri.split.leaks import parse_kind
from bunri.split.split import SplitPlan, SplitRequest, split_dataset


def run_split(
    data: Annotated[Path, Argument(metavar="DATA.json", help="Labelled COCO file.")],
    num_folds: Annotated[
        int | None,
        Option(
            "--folds",
            metavar="K",
            min=2,
            help="Number of folds; each photo is for validation in one.",
        ),
    ] = None,
    val_share: Annotated[
        float | None, Option("--val", metavar="FRACTION", help="One validation set, such as 0.2.")
    ] = None,
    group_regex: Annotated[
        str | None,
        Option(
            metavar="REGEX",
            help="Photos stay together if it captures the same text in their names, for example "
            r"'scene_(\d+)'.",
        ),
    ] = None,
    images: Images = None,
    seed: Annotated[int, Option(min=0, help="The same seed gives the same split.")] = 0,
    folder: Annotated[
        Path | None, Option("--out", metavar="DIR", help="New or empty; by default DATA_split.")
    ] = None,
    overlap_rule: Rule = "largest-first",
    against: Annotated[
        list[Path] | None,
        Option(metavar="JSON", help="COCO file that must share no photo; repeatable."),
    ] = None,
    against_images: Annotated[
        list[Path] | None, Option(metavar="DIR", help="Photos of each --against, if not beside it.")
    ] = None,
    allow_leaks: Annotated[
        list[str] | None,
        Option(
            metavar="KIND",
            help="Write in spite of such leaks: same-name, same-pixels, near-duplicate, "
            "same-group; repeatable.",
        ),
    ] = None,
    skips_photos: Annotated[
        bool, Option("--no-photos", help="Do not open the photos: copies are not found.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Split labelled photos into training and validation sets that share no photo.

    Sets are balanced by the classes of their photos and the pixels of each class. Copies (resized,
    encoded again, mirrored, cropped, brightened) stay together. Writes train.json and val.json, or
    fold_0/train.json and so on, with new ids, and report.json. Ends with 1, and writes nothing, if
    a leak is found.

    Example: [bold]bunri split data/train_all.json --folds 5 --against data/test.json[/bold]
    """
    if num_folds is not None and val_share is None:
        parts = Parts.make_folds(num_folds)
    elif val_share is not None and num_folds is None:
        parts = Parts.make_sides(val_share)
    else:
        raise typer.BadParameter("Give either --folds or --val.")
    request = SplitRequest(
        data=data,
        parts=parts,
        images=images,
        pattern=group_regex,
        seed=seed,
        rule=overlap_rule,
        against=tuple(pair_roots(against or [], against_images or [], "--against-images")),
        allowed=frozenset(map(parse_kind, allow_leaks or [])),
        reads_photos=not skips_photos,
    )
    folder = folder or data.with_name(f"{data.stem}_split")
    plan = split_dataset(request, folder, show_progress)
    is_written = not plan.refused
    next_command = _name_next_command(plan, folder)
    if as_json:
        where = {"out": str(folder), "next": next_command} if is_written else {"out": None}
        print_json({**plan.report, **where})
    else:
        _print_report(plan)
        if is_written:
            for name, photo_ids in plan.files.items():
                print_line(f"{folder / name}: {len(photo_ids)} photos")
            print_line(f"{folder / 'report.json'}: all figures")
            fold = " (this is for the first fold)" * parts.are_folds
            print_line(f"Next{fold}: {next_command}")
    if not is_written:
        kinds = sorted({leak.kind for leak in plan.refused})
        allowing = " ".join(f"--allow-leaks {kind}" for kind in kinds)
        print_note(
            f"Nothing was written: {len(plan.refused)} leak(s). Remove these photos from one of "
            f"the files, or split in spite of them: {allowing}"
        )
        raise typer.Exit(1)


def _print_report(plan: SplitPlan) -> None:
    report = plan.report
    copies = (
        f"{report['num_twin_pairs']} pair(s) of copies"
        if report["near_duplicates"] == "looked for"
        else "copies not looked for"
    )
    print_line(
        f"{report['num_photos']} photos, {copies}: {report['num_groups']} groups that stay "
        f"together, {len(report['groups'])} of them with more than one photo"
    )
    if report["group_pattern"] is not None:
        print_line(
            f"The pattern {report['group_pattern']!r} is found in {report['num_names_matched']} "
            "file names"
        )
    _print_classes(report)
    _print_absent(report)
    balance, random = report["balance"], report["balance"]["random_splits"]
    print_line(
        f"Balance figure {balance['figure']:.4f}, 0 is perfect (presence "
        f"{balance['presence']:.4f}, pixels {balance['pixels']:.4f}, size {balance['size']:.4f}); "
        f"{random['count']} random splits of the same groups: mean {random['mean_figure']:.4f}, "
        f"best {random['best_figure']:.4f}"
    )
    for leak in plan.leaks[:MAX_PROBLEMS_SHOWN]:
        print_line(f"Leak, {leak}")
    if len(plan.leaks) > MAX_PROBLEMS_SHOWN:
        print_line(f"... and {len(plan.leaks) - MAX_PROBLEMS_SHOWN} more leaks")
    if not plan.leaks:
        print_line("Leaks: none")


def _print_absent(report: dict[str, Any]) -> None:
    unseen = [drop_controls(row["name"]) for row in report["classes"] if not row["photos"]]
    if unseen:
        print_line(f"In no photo: {', '.join(unseen)}")
    for row in report["classes"]:
        if row["photos"] and row["absent_from"]:
            where = ", ".join(row["absent_from"])
            num_parts = len(row["parts"])
            if row["must_be_in_every_part"]:
                why = "the groups that stay together do not allow it"
            elif row["photos"] < num_parts:
                why = f"{row['photos']} photo(s) for {num_parts} parts"
            else:
                why = f"its {row['photos']} photos are in fewer than {num_parts} groups"
            print_line(f"{drop_controls(row['name'])} is not in {where}: {why}")


def _print_classes(report: dict[str, Any]) -> None:
    parts = report["parts"]
    names = [clean(part["name"]) for part in parts]
    rows = make_table("photos / share of pixels", numbers=("all", *names))
    rows.add_row("any", str(report["num_photos"]), *(str(part["num_photos"]) for part in parts))
    for row in report["classes"]:
        if row["photos"]:
            cells = [f"{p['photos']} / {100 * p['pixel_share']:.2f} %" for p in row["parts"]]
            rows.add_row(clean(row["name"]), str(row["photos"]), *cells)
    out.print(rows)


def _name_next_command(plan: SplitPlan, folder: Path) -> str:
    """Return the command that trains on the result, for the first fold if there are several."""
    names = list(plan.files)
    root = str(plan.dataset.image_root)
    files = ["--data", str(folder / names[0]), "--val", str(folder / names[1])]
    run = Path("runs") / (Path(names[0]).parent.name or folder.name)
    where = ["--images", root, "--val-images", root]
    return shlex.join(["bunri", "train", *files, *where, "--out", str(run)])
