"""Writing, reading, checking and voting on the competition's submission.csv.

The file has one row per photo: its id and a 256 x 256 mask as 65,536 integers.
"""
