"""Classifiers and other numerics that protocols share; they take features and images, not a `Subject`."""
