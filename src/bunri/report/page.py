"""From a template and values to one HTML file with everything inside it.

Owns escaping and the embedding of pictures. Knows nothing of what a page says.
"""

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from bunri.contracts import ImageArray
from bunri.files import write_text


def embed_picture(image: ImageArray, *, quality: int = 85) -> Markup:
    """Return a picture, uint8 (H, W, 3) RGB, as a JPEG data URL for ``<img src>``."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return Markup("data:image/jpeg;base64,") + base64.b64encode(buffer.getvalue()).decode()


def write_page(path: Path, template: str, values: Mapping[str, Any]) -> None:
    """Fill a template of ``report/templates`` and write it atomically.

    Every value is escaped; a name that the template uses and ``values`` lacks is our bug.

    Raises:
        OutputError: The file cannot be written.
    """
    environment = Environment(
        loader=PackageLoader("bunri.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["score"] = _show_score
    write_text(path, environment.get_template(template).render(values))


def _show_score(value: float | None) -> str:
    return "no data" if value is None else f"{value:.3f}"
