"""Protocols: versioned evaluations of a fitted learner, one file each, found through entry points."""
