"""The competition's wrap-up, written from the records of runs."""
