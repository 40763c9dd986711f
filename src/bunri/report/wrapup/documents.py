"""Documents in sections, written as HTML by a template or as Markdown here."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bunri.report.texts import Text, Texts

_MARKDOWN = re.compile(r"([\\`*_\[\]#!|~])")
_LINE_START = re.compile(r"^(\d+(?=[.)](?:\s|$))|(?=[-+=>]))")


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Some sentences."""

    text: Text
    kind: str = "paragraph"


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list."""

    items: Sequence[Text]
    kind: str = "bullets"


@dataclass(frozen=True, slots=True)
class Grid:
    """A table; columns from index ``numbers_from`` on hold numbers."""

    head: Sequence[Text]
    rows: Sequence[Sequence[Text]]
    numbers_from: int = 1
    kind: str = "grid"


@dataclass(frozen=True, slots=True)
class Figure:
    """A JPEG picture with its caption."""

    name: str
    jpeg: bytes
    caption: Text
    kind: str = "figure"


@dataclass(frozen=True, slots=True)
class Code:
    """Lines of commands."""

    lines: Sequence[str]
    kind: str = "code"


Block = Paragraph | Bullets | Grid | Figure | Code


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands below it."""

    title: Text
    blocks: Sequence[Block]


def plain(value: str | int) -> Text:
    """Return a text that is the same in every language."""
    return Text(str(value), str(value))


def write_markdown(title: Text, sections: Sequence[Section], language: str, t: Texts) -> str:
    """Return a document as Markdown in one language; names in it are escaped."""
    parts = [f"# {_escape(title.to(language))}"]
    for section in sections:
        parts.append(f"## {_escape(section.title.to(language))}")
        parts += [_write_block(block, language, t) for block in section.blocks]
    return "\n\n".join(parts) + "\n"


def _write_block(block: Block, language: str, t: Texts) -> str:
    match block:
        case Paragraph():
            return _escape(block.text.to(language))
        case Bullets():
            return "\n".join(f"- {_escape(item.to(language))}" for item in block.items)
        case Grid():
            return _write_grid(block, language, t)
        case Figure():
            caption = _escape(block.caption.to(language))
            return f"![{caption}](pictures/{block.name})\n\n{caption}"
        case Code():
            text = "\n".join(block.lines)
            longest = max((len(run) for run in re.findall("`+", text)), default=0)
            fence = "`" * max(3, longest + 1)
            return f"{fence}\n{text}\n{fence}"


def _write_grid(grid: Grid, language: str, t: Texts) -> str:
    if not grid.rows:
        return _escape(t("table_empty").to(language))
    rule = ["---:" if i >= grid.numbers_from else "---" for i in range(len(grid.head))]
    rows = [
        [_escape(cell.to(language)) for cell in grid.head],
        rule,
        *([_escape(cell.to(language)) for cell in row] for row in grid.rows),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _escape(text: str) -> str:
    """Return text escaped for Markdown, on one line."""
    escaped = _MARKDOWN.sub(r"\\\1", " ".join(text.split()))
    escaped = escaped.replace("&", "&amp;").replace("<", "&lt;")
    return _LINE_START.sub(r"\1\\", escaped)  # no list, rule or quotation begins with it
