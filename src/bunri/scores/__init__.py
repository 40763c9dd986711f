"""Confusion matrices, the three mIoUs, intervals, results and comparisons."""
