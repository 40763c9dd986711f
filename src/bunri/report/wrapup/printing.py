"""PDF of a page, printed by an installed Chromium."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from bunri.core.errors import OutputError
from bunri.core.files import replace_atomically

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_TIMEOUT_S = 180
_FLAGS = (
    "--headless",
    "--no-sandbox",  # it opens a page of ours that may load nothing
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--no-pdf-header-footer",
    "--virtual-time-budget=5000",
)


def find_browser() -> str | None:
    """Return the path of a Chromium, or None."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def print_page(browser: str, page: Path, pdf: Path) -> None:
    """Print a page as PDF.

    Raises:
        OutputError: The browser gave no PDF, or it cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="bunri-") as profile:
        printed = Path(profile) / "page.pdf"
        target = f"--print-to-pdf={printed}"
        command = [browser, *_FLAGS, f"--user-data-dir={profile}", target, page.absolute().as_uri()]
        try:
            subprocess.run(
                command, capture_output=True, timeout=_TIMEOUT_S, stdin=subprocess.DEVNULL
            )
            content = printed.read_bytes()
        except (OSError, subprocess.TimeoutExpired) as error:
            raise OutputError(f"{browser} could not print {page.name}: no PDF came.") from error
    if not content.startswith(b"%PDF"):
        raise OutputError(f"{browser} could not print {page.name}: what came is no PDF.")
    with replace_atomically(pdf) as temporary:
        temporary.write_bytes(content)
