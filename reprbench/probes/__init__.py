"""Classifiers and other numerics that protocols share; they know features and images, and no `Subject`."""
