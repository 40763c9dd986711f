"""Errors, array types and limits, class tables, files, settings and progress."""
