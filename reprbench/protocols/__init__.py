"""Protocols: versioned ways of evaluating a fitted learner. One file a protocol; found through entry points."""
