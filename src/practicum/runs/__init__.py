"""The audit trail of a run: what decided it (manifest), what happened (events), and the proof (verify)."""
