"""What is in a data set: counts, sizes, classes, places."""
