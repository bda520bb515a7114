"""The sandbox: an agent's Python, SQL and mathematics, really executed, and unable to do harm.

Python runs in a process of its own behind the strongest wall that the machine gives (``sandbox_kind()``), SQL in an
in-memory SQLite with an authorizer, mathematics by an evaluator that knows numbers and nothing else. All three are
bounded, and give the same result for the same input and state.
"""

from practicum.sandbox import mathematics, sql
from practicum.sandbox.kinds import sandbox_kind, sandbox_notice, sandbox_report, sandbox_warning
from practicum.sandbox.limits import Kind, PythonLimits, PythonResult, SandboxError
from practicum.sandbox.python import arun_python, run_python

__all__ = [
    "Kind",
    "PythonLimits",
    "PythonResult",
    "SandboxError",
    "arun_python",
    "mathematics",
    "run_python",
    "sandbox_kind",
    "sandbox_notice",
    "sandbox_report",
    "sandbox_warning",
    "sql",
]
