"""Labelled configurations in the files that people have: one module per family of formats."""
