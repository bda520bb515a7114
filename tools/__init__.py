"""What makes parts of Practicum and is not in the wheel."""
