"""Drawings of things, one file per kind."""
