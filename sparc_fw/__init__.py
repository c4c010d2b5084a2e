"""Active learning of reactive machine-learning interatomic potentials on FireWorks."""

__version__ = "0.1.0"
