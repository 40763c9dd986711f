"""bunri: what a photo of waste is made of, pixel by pixel.

The package root knows only its version. Every part is imported by its own name, so
``import bunri`` stays instant and pulls in nothing.
"""

__version__ = "0.1.0"
