"""Write docs/api.md from the docstrings of the public Python API.

Usage: python tools/write_api_page.py
"""

import inspect
import re
from pathlib import Path
from typing import Any

from bunri import api

PAGE = Path(__file__).parents[1] / "docs" / "api.md"
_SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises|Example):$", re.M)
_NAMES = (
    "load_model", "Model", "Prediction", "read_coco", "draw_mask", "evaluate", "compare",
    "read_config", "train", "export", "write_submission", "check_submission",
)  # fmt: skip
"""All public names but the error, in the order of reading."""
_INTRODUCTION = """# Python API

<!-- Written by tools/write_api_page.py from the docstrings; do not edit. -->

Everything below is imported from `bunri`; all other modules may change in any version. Importing
`bunri` loads neither torch nor numpy. Arrays: an image is `uint8 (H, W, 3)` RGB, a mask is
`uint8 (H, W)` of class indices, with 255 for pixels that count for nothing. Errors are subclasses
of `bunri.BunriError`, with the messages that the command line prints.
"""


def write_page() -> str:
    """Return the page as Markdown."""
    signatures = "\n".join(line for name in _NAMES for line in _list_signatures(name))
    parts = [_INTRODUCTION, f"## Signatures\n\n```python\n{signatures}\n```\n"]
    parts += [_describe(name, getattr(api, name)) for name in _NAMES]
    return "\n".join(parts)


def _list_signatures(name: str) -> list[str]:
    value = getattr(api, name)
    if not isinstance(value, type):
        return [f"{name}{_show_signature(value)}"]
    lines = [f"class {name}"]
    for member, kind in _list_members(value):
        text = (
            f".{member}"
            if kind == "property"
            else f".{member}{_show_signature(getattr(value, member))}"
        )
        lines.append(f"    {text}")
    return lines


def _list_members(cls: type) -> list[tuple[str, str]]:
    """Return name and kind (``property`` or ``method``) of each public member with a docstring."""
    return [
        (name, "property" if isinstance(value, property) else "method")
        for name, value in vars(cls).items()
        if not name.startswith("_") and (isinstance(value, property) or inspect.isfunction(value))
    ]


def _show_signature(function: Any) -> str:  # noqa: ANN401 (any function)
    """Return the arguments with their defaults, without types, which the text gives."""
    parameters = [
        p.replace(annotation=p.empty)
        for p in inspect.signature(function).parameters.values()
        if p.name != "self"
    ]
    return re.sub(r"<function (\w+) at \w+>", r"\1", str(inspect.Signature(parameters)))


def _describe(name: str, value: Any) -> str:  # noqa: ANN401 (a function or class)
    if not isinstance(value, type):
        return f"## {name}\n\n{_convert(inspect.getdoc(value) or '')}"
    parts = [f"## {name}\n\n{_convert(inspect.getdoc(value) or '')}"]
    for member, _ in _list_members(value):
        doc = _convert(inspect.getdoc(getattr(value, member)) or "")
        parts.append(f"### {name}.{member}\n\n{doc}")
    return "\n".join(parts)


def _convert(doc: str) -> str:
    """Return a Google-style docstring as Markdown."""
    doc = re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", doc.replace("``", "`"))
    head, *rest = _SECTION.split(doc)
    parts = [head.strip() + "\n"]
    for title, body in zip(rest[::2], rest[1::2], strict=True):
        text = inspect.cleandoc(body)
        if title == "Example":
            parts.append(f"```python\n{text.replace('  # doctest: +SKIP', '')}\n```\n")
        elif title in ("Returns", "Yields"):
            parts.append(f"**{title}:** {' '.join(text.split())}\n")
        else:
            parts.append(f"**{title}**\n\n{_list_items(text)}\n")
    return "\n".join(parts)


def _list_items(text: str) -> str:
    """Return ``name: text`` entries, each continued on indented lines, as a Markdown list."""
    items = re.split(r"\n(?=\S)", text)
    return "\n".join(
        "- " + re.sub(r"^([*\w]+):", r"`\1`:", " ".join(item.split())) for item in items
    )


if __name__ == "__main__":
    PAGE.write_text(write_page(), "utf-8")
