"""From the trials of a store to tables."""
