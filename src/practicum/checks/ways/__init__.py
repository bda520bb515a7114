"""The ways a check plays an environment's episodes; each is a piece of work in a fork of its stage."""
