"""Measurements, run by hand: their numbers go into commit messages and documents, never into tests."""
