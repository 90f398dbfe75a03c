"""Learners made of objects of other libraries: transformers of scikit-learn, and modules of torch."""
