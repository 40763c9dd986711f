"""The version of bunri."""

__version__ = "0.1.0"
