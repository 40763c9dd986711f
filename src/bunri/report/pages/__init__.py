"""The pages: statistics, evaluation, experiments, submissions."""
