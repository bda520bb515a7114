"""Metrics by name, MLflow tracking and the live view of a training run."""
