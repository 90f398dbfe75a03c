"""What the command line does, as functions: running, loading stores and learners, encoding, evaluating, exporting."""
