"""``python -m practicum``: the command line where its script is not on the path."""

from practicum.commands import main

if __name__ == "__main__":
    main()
