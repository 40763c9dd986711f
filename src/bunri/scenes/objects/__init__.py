"""Drawings of objects, one file per kind."""
