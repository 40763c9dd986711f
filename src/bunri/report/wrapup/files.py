"""Files of the wrap-up: a page, Markdown, pictures, settings, and PDFs if there is a browser."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from bunri.core.classes import ClassTable
from bunri.core.errors import OutputError
from bunri.core.files import check_writable, write_bytes, write_text
from bunri.images.drawing import draw_overlay
from bunri.report.experiments import find_best, list_experiments
from bunri.report.mistakes import draw_mistakes
from bunri.report.page import encode_jpeg, show_figure, write_page
from bunri.report.pictures import Picture, sort_pictures, unpack_picture
from bunri.report.records import RunRecord
from bunri.report.texts import LANGUAGES, Texts, clean_name, read_texts
from bunri.report.wrapup.data import name_recipe
from bunri.report.wrapup.documents import Figure, Section, write_markdown
from bunri.report.wrapup.lessons import Diagnose
from bunri.report.wrapup.printing import find_browser, print_page
from bunri.report.wrapup.sections import Material, write_sections
from bunri.scores.comparison import Comparison

PAGE_NAME = "wrap-up.html"
MAX_FIGURES = 5
_GAP_PX = 6
_TILE_PX = 256


def check_wrapup_folder(folder: Path) -> None:
    """Raise :class:`OutputError` for a folder that cannot be written, before any work is done."""
    check_writable(folder / PAGE_NAME)
    check_writable(folder / "pictures" / "1.jpg")


def write_wrapup(
    folder: Path, records: Sequence[RunRecord], comparison: Comparison, diagnose: Diagnose
) -> str:
    """Write a wrap-up and return why it has no PDF; empty if it has one.

    Files of an earlier one are replaced, others are left alone.

    Raises:
        OutputError: A file cannot be written.
    """
    t = read_texts("common", "evaluation", "experiments", "wrapup")
    experiments = list_experiments(records, comparison)
    best = find_best(experiments).record
    figures = [
        _draw_figure(number, picture, best.result.table, t)
        for number, picture in enumerate(sort_pictures(best.pictures)[:MAX_FIGURES], start=1)
    ]
    sections = write_sections(Material(experiments, comparison, figures, diagnose), t)
    for figure in figures:
        write_bytes(folder / "pictures" / figure.name, figure.jpeg)
    for number, record in enumerate(records):
        if record.result.config:
            text = yaml.safe_dump(dict(record.result.config), sort_keys=False, allow_unicode=True)
            write_text(folder / "recipes" / name_recipe(number), text)
    for language in LANGUAGES:
        text = write_markdown(t("wrapup_title"), sections, language, t)
        write_text(folder / f"wrap-up.{language}.md", text)
    _write_page(folder / PAGE_NAME, sections, "", t)
    return _write_pdfs(folder, sections, t)


def _draw_figure(number: int, picture: Picture, table: ClassTable, t: Texts) -> Figure:
    """Return photo, truth, prediction and mistakes side by side."""
    image, truth, prediction = unpack_picture(picture)
    tiles = (
        image,
        draw_overlay(image, truth, table),
        draw_overlay(image, prediction, table),
        draw_mistakes(image, truth, prediction),
    )
    padded = [np.pad(tile, ((0, 0), (0, _GAP_PX), (0, 0)), constant_values=255) for tile in tiles]
    drawn = Image.fromarray(np.concatenate(padded, axis=1)[:, :-_GAP_PX])
    drawn.thumbnail((4 * _TILE_PX, 2 * _TILE_PX))
    name, score = clean_name(picture.file_name), show_figure(picture.miou)
    caption = t("picture_caption", name=name, score=score)
    return Figure(f"{number}.jpg", encode_jpeg(drawn), caption)


def _write_page(path: Path, sections: Sequence[Section], language: str, t: Texts) -> None:
    """Write the page, in one language or with a switch between both."""
    values = {"t": t, "title": t("wrapup_title"), "sections": sections, "language": language}
    write_page(path, "wrapup.html", values)


def _write_pdfs(folder: Path, sections: Sequence[Section], t: Texts) -> str:
    browser = find_browser()
    if browser is None:
        return "there is no Chromium or Chrome on the path"
    with tempfile.TemporaryDirectory(prefix="bunri-") as temporary:
        for language in LANGUAGES:
            page = Path(temporary) / f"{language}.html"
            _write_page(page, sections, language, t)
            try:
                print_page(browser, page, folder / f"wrap-up.{language}.pdf")
            except OutputError as error:
                return error.message
    return ""
