"""Trackers: programs and files beside the store to which runs are logged while they go on."""
