"""``python -m practicum.cli``."""

from practicum.cli import main

main()
