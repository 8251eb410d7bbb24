"""`python -m astromorphic` is the command `astromorphic`."""

from .cli import main

if __name__ == "__main__":
    main()
