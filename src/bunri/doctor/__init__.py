"""Checks of data sets: labels, photos, copies, leaks between splits; and repairs."""
