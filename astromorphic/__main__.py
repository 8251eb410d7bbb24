"""The command `astromorphic`, also as `python -m astromorphic`."""

import sys


def main() -> None:
    """Start the command line; an interrupt while it is being loaded ends as one during a command does."""
    try:
        from .cli import main as command
    except KeyboardInterrupt:
        print("astromorphic: interrupted; no half-written file is left", file=sys.stderr)
        sys.exit(130)
    command()


if __name__ == "__main__":
    main()
