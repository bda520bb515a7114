"""The loop and what surrounds it: workbench, run folder, checkpoints, stages."""
