"""Trainable potentials: one file per framework."""
