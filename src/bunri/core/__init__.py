"""Errors, array contracts, class tables, files, settings and progress: what every room uses."""
