"""Executors: what runs the trials of a run, on this machine or on others. None of them writes the store."""
