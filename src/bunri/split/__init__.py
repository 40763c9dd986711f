"""Folds and validation splits that keep copies of a photo together."""
