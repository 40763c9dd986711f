"""``bunri predict --engine ray``: folders, lists and Parquets of photos on many workers."""

from pathlib import Path

import typer

from bunri.cli.console import print_json, print_line, print_note, show_progress
from bunri.core.errors import InputError, suggest

ENGINES = ("local", "ray")


def check_engine(engine: str, address: str | None, num_workers: int | None) -> None:
    """Refuse an engine that does not exist, and options of the one that is not used.

    Raises:
        InputError: See above.
    """
    if engine not in ENGINES:
        raise InputError(f"--engine: there is no engine {engine!r}.{suggest(engine, ENGINES)}")
    if engine == "local" and (address is not None or num_workers is not None):
        raise InputError("--address and --workers are for --engine ray.")


def run_bulk(
    arguments: list[str],
    folder: Path,
    address: str | None,
    num_workers: int | None,
    *,
    is_bare: bool,
    as_json: bool,
) -> None:
    """Predict one SOURCE on Ray; end with 2 if photos failed, as ``bunri predict`` does.

    Args:
        arguments: MODEL and SOURCE.
        folder: Where results are written.
        address: Of a cluster.
        num_workers: Processes that predict.
        is_bare: Whether no option was given that only the local engine has.
        as_json: Print for machines.
    """
    from bunri.cli.options import require_torch
    from bunri.predict.bulk.job import FAILED_NAME, make_job, run_bulk_job

    if not is_bare:
        raise InputError(
            "--engine ray predicts one model as it is kept, and writes masks and rows alone.",
            hint="Leave out the other options; bunri tune keeps settings in the model.",
        )
    model, *sources = arguments
    if len(sources) != 1:
        raise InputError(
            f"--engine ray takes one SOURCE, not {len(sources)}: a folder, a list (.txt) or a "
            "Parquet (.parquet)."
        )
    job = make_job(model, Path(sources[0]), folder)
    require_torch("This model")
    result = run_bulk_job(
        job,
        address=address,
        num_workers=num_workers,
        show_progress=lambda total: show_progress("Predicting photos", total),
    )
    if as_json:
        print_json(
            {
                "photos": result.num_photos,
                "predicted": result.num_predicted,
                "failed": [{"photo": uri, "reason": why} for uri, why in result.failures],
            }
        )
    else:
        print_line(
            f"{result.num_photos} photos: {result.num_predicted} predicted now, "
            f"{len(result.failures)} failed in all"
        )
        print_line(f"Results: {folder}/rows, {folder}/masks")
    for _, reason in result.failures[:20]:
        print_note(f"Error: {reason}")
    if result.failures:
        print_note(f"{len(result.failures)} photo(s) failed: {folder / FAILED_NAME}")
        raise typer.Exit(2)
