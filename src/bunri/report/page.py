"""One HTML file from a template and values, with pictures and scripts embedded."""

import base64
import hashlib
import io
from collections.abc import Mapping, Sequence
from importlib import resources
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from bunri.core.contracts import ImageArray, MaskArray
from bunri.core.files import write_text
from bunri.core.version import __version__
from bunri.scores.intervals import Interval


def encode_jpeg(image: Image.Image, quality: int = 85) -> bytes:
    """Return the bytes of a JPEG file."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def embed_picture(image: ImageArray, *, quality: int = 85) -> Markup:
    """Return a picture, uint8 (H, W, 3) RGB, as a JPEG data URL for ``<img src>``."""
    return embed_jpeg(encode_jpeg(Image.fromarray(image), quality))


def embed_jpeg(content: bytes) -> Markup:
    """Return a JPEG as a data URL."""
    return Markup("data:image/jpeg;base64,") + base64.b64encode(content).decode()


def embed_layer(layer: npt.NDArray[np.uint8]) -> Markup:
    """Return a picture with clear parts, uint8 (H, W, 4) RGBA, as a PNG data URL."""
    return _embed_png(Image.fromarray(layer))


def embed_mask(mask: MaskArray, palette_rgb: npt.NDArray[np.uint8]) -> Markup:
    """Return a mask, uint8 (H, W), in the colours of a (256, 3) palette, as a PNG data URL."""
    picture = Image.fromarray(mask)
    picture.putpalette(palette_rgb.tobytes())
    return _embed_png(picture)


def _embed_png(picture: Image.Image) -> Markup:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return Markup("data:image/png;base64,") + base64.b64encode(buffer.getvalue()).decode()


def read_script(name: str) -> str:
    """Return a script that comes with the templates."""
    return (resources.files("bunri.report") / "templates" / name).read_text("utf-8")


def write_page(
    path: Path, template: str, values: Mapping[str, Any], *, scripts: Sequence[str] = ()
) -> None:
    """Fill a template of ``report/templates`` and write it atomically.

    Every value is escaped. The page's policy forbids the browser to run or load anything but the
    ``scripts`` (JavaScript texts, in order), so that not even a fault in the escaping would let a
    file name run as a script.

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
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    environment.filters |= {
        "jpeg": embed_jpeg,
        "score": _show_score,
        "interval": show_interval,
        "share": show_share,
        "number": show_count,
    }
    scripts = [read_script("language.js"), *scripts]
    added = {
        "scripts": [Markup(script) for script in scripts],  # noqa: S704 (ours, not data)
        "policy": _build_policy(scripts),
        "version": __version__,
    }
    write_text(path, environment.get_template(template).render({**values, **added}))


def _build_policy(scripts: Sequence[str]) -> str:
    """Return a Content-Security-Policy under which only these very scripts run."""
    digests = [hashlib.sha256(script.encode()).digest() for script in scripts]
    allowed = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {allowed}; "
        "base-uri 'none'; form-action 'none'"
    )


def _show_score(value: float | None) -> str:
    return "no data" if value is None or isnan(value) else f"{value:.3f}"


def show_figure(value: float | None) -> str:
    """Return a score with three digits, or a dash for NaN and None."""
    return "\N{EN DASH}" if value is None or isnan(value) else f"{value:.3f}"


def show_signed(value: float) -> str:
    """Return a difference of scores with its sign."""
    return f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")


def show_interval(interval: Interval) -> str:
    """Return an interval, or a dash without one."""
    if not interval.is_known:
        return "\N{EN DASH}"
    return f"{interval.low:.3f}\N{EN DASH}{interval.high:.3f}"


def show_share(value: float, decimals: int | None = None) -> str:
    """Return a share in per cent; a share above 0 is never shown as 0."""
    if decimals is None:
        decimals = 0 if value == 0 else 1 if value >= 0.01 else 2
    if 0 < value < 0.5 * 10.0 ** (-2 - decimals):
        return f"<{10.0**-decimals:.{decimals}f}%"
    return f"{100 * value:.{decimals}f}%"


def show_ece(value: float, interval: Interval) -> str:
    """Return a calibration error as per cent, with its interval if there is one."""
    if not interval.is_known:
        return show_share(value)
    return f"{show_share(value)} ({show_share(interval.low)}\N{EN DASH}{show_share(interval.high)})"


def show_count(value: float) -> str:
    """Return a number with thousands set apart, whole unless it is small and is not."""
    return f"{value:,.1f}" if value < 100 and value % 1 else f"{value:,.0f}"
