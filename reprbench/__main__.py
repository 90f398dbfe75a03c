"""``python -m reprbench`` is the command line."""

from reprbench.cli.main import main

if __name__ == "__main__":
    main()
