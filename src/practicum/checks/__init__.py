"""Checks: what an environment must show before anything is trained in it.

>>> from practicum.checks.environment import run_checks
>>> from practicum.environment.target import resolve_target
>>> run_checks(resolve_target("support_desk")).ok
True
"""
