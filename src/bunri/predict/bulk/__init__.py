"""Prediction of very many photos on Ray."""
