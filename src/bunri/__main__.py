"""``python -m bunri``: the same as the command ``bunri``."""

from bunri.cli import main

main()
