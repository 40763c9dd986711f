"""Statistics of data sets, as a page and as JSON beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bunri.core.errors import InputError
from bunri.core.files import check_writable, write_json
from bunri.core.progress import Progress, show_nothing
from bunri.labels.rules import OverlapRule
from bunri.report.pages.stats import prepare_samples, write_stats_page
from bunri.stats.gallery import choose_photos
from bunri.stats.statistics import SetStatistics, measure_datasets
from bunri.stats.statistics_json import describe_statistics


@dataclass(frozen=True, slots=True)
class StatsReport:
    """Statistics of each set, the same as plain values, and the JSON file of these."""

    sets: Sequence[SetStatistics]
    figures: dict[str, Any]
    figures_path: Path


def report_stats(
    data: Sequence[Path],
    page: Path,
    *,
    images: Sequence[Path] = (),
    overlap_rule: OverlapRule = "largest-first",
    num_samples: int = 24,
    opens_photos: bool = True,
    progress: Progress = show_nothing,
) -> StatsReport:
    """Count the contents of data sets, and write a page and a JSON file beside it.

    Sets with labels share one class table; ``images`` is empty for the folder of each file;
    ``opens_photos`` is needed for colours and the gallery.

    Raises:
        BunriError: A file or photo cannot be used, the JSON file would replace one of ``data``, or
            a file cannot be written.
    """
    # "train.html" beside train.json must not replace the labels.
    stem = page.stem if page.stem.endswith("stats") else f"{page.stem}-stats"
    figures_path = page.with_name(f"{stem}.json")
    if figures_path.resolve() in {file.resolve() for file in data}:
        raise InputError(
            f"The figures of {page} would replace the file {figures_path}.",
            hint="Choose another name or folder.",
        )
    check_writable(figures_path)
    statistics = measure_datasets(
        data, images, rule=overlap_rule, opens_photos=opens_photos, progress=progress
    )
    choices = choose_photos(statistics, num_samples if opens_photos else 0)
    with progress("Preparing sample photos", len(choices)) as advance:
        samples = prepare_samples(choices, overlap_rule, advance)
    figures = describe_statistics(statistics, overlap_rule)
    write_stats_page(page, statistics, samples, overlap_rule, figures_path.name)
    write_json(figures_path, figures)
    return StatsReport(statistics, figures, figures_path)
