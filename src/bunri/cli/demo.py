"""``bunri demo``: the whole job on rendered photos."""


def run_demo() -> None:
    """Show the whole job."""
