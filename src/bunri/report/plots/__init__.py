"""Plots for pages, drawn by plotly in the browser."""
