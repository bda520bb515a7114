"""Lines that an exception may fairly be put into: where code that cleans up after itself still gets to do so."""

import ast
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

_CLEANUP = frozenset({"__exit__", "__aexit__", "__del__", "stop", "close", "aclose"})
_RELEASING = frozenset(
    ["release", "close", "aclose", "shutdown", "terminate", "kill", "cleanup", "rmtree", "unlink", "restore", "chdir"]
)
_SIMPLE = (
    ast.Expr,
    ast.Assign,
    ast.AugAssign,
    ast.AnnAssign,
    ast.Return,
    ast.Assert,
    ast.Delete,
    ast.If,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.Match,
)


@cache
def breakable_lines(file: str) -> frozenset[int]:
    """Lines of a Python file on which a statement begins that may be the one to fail.

    Not in ``except`` and ``finally``, in functions and calls that release things, after the yield of a context
    manager, and not the lines of ``try`` and ``with`` themselves: nothing can guard those.
    """
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return frozenset()
    return frozenset(_in_body(tree.body))


def _in_body(body: Sequence[ast.stmt]) -> Iterator[int]:
    for statement in body:
        if isinstance(statement, _SIMPLE) and not _releases(statement):
            yield statement.lineno
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            if statement.name not in _CLEANUP:
                yield from _in_function(statement)
            continue
        for part in ("body", "orelse"):
            yield from _in_body(getattr(statement, part, []))
        if isinstance(statement, ast.Match):
            for case in statement.cases:
                yield from _in_body(case.body)


def _releases(statement: ast.stmt) -> bool:
    call = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in _RELEASING


def _in_function(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[int]:
    managers = {"contextmanager", "asynccontextmanager"}
    named = {
        node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "") for node in function.decorator_list
    }
    yields = [node.lineno for node in ast.walk(function) if isinstance(node, ast.Yield)]
    last = min(yields, default=0) if named & managers else 0
    for line in _in_body(function.body):
        if not last or line < last:
            yield line
