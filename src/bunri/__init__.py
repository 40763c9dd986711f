"""bunri: what a photo of waste is made of, pixel by pixel."""

from bunri.core.version import __version__ as __version__
