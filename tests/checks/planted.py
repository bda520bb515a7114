"""Each environment of the zoo in a file of its own, with the line numbers of the file that it stands in."""

import ast
import shutil
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Planted:
    """An environment with one fault, or without any (``code`` is "none")."""

    file: Path
    name: str
    code: str
    score: str

    @property
    def key(self) -> str:
        """Its name, with its file's: two zoos may well hold the same."""
        return f"{self.file.stem}.{self.name}"

    @property
    def faulty_lines(self) -> set[int]:
        """Lines that a finding may name."""
        lines = self.file.read_text(encoding="utf-8").splitlines()
        return {number for number, line in enumerate(lines, start=1) if line.endswith("# fault")}

    def write_into(self, folder: Path) -> Path:
        """Write its file without what others need only, and what lies beside it. Lines keep their numbers."""
        own = folder / self.file.stem / self.name
        shutil.copytree(HERE / "beside", own, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(HERE / "shelf.py", own)
        text = self.file.read_text(encoding="utf-8")
        lines = text.splitlines()
        for node in _unneeded(ast.parse(text).body, {self.name, self.score, "score", "reward"}):
            first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))])
            lines[first - 1 : node.end_lineno] = [""] * ((node.end_lineno or first) - first + 1)
        path = own / self.file.name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path


def planted(pattern: str) -> list[Planted]:
    """Every environment of the files of that name: ``CODE``, or ``CODES`` by class, says what is wrong with it."""
    found = []
    for file in sorted(HERE.glob(pattern)):
        text = file.read_text(encoding="utf-8")
        facts = {
            target.id: node.value
            for node in ast.parse(text).body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name) and target.id in ("CODE", "CODES", "SCORES")
        }
        said = {name: ast.literal_eval(value) for name, value in facts.items()}
        for node in _environments(_classes(text)):
            # A base that others are made from has no id.
            code = said.get("CODES", {}).get(node.name, said.get("CODE", ""))
            named = any(isinstance(each, ast.Assign) and "id" in ast.unparse(each.targets[0]) for each in node.body)
            if code and (code != "none" or named):
                found.append(Planted(file, node.name, code, said.get("SCORES", {}).get(node.name, "score")))
    return found


def _classes(text: str) -> list[ast.ClassDef]:
    return [node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)]


def _environments(classes: list[ast.ClassDef]) -> list[ast.ClassDef]:
    """The classes that derive from an environment."""
    known, found = {"Environment", "Shelf", "Counting", "RecordedEnvironment", "GymnasiumEnvironment"}, []
    for node in classes:
        if any(isinstance(base, ast.Name) and base.id in known for base in node.bases):
            known.add(node.name)
            found.append(node)
    return found


def _unneeded(body: list[ast.stmt], names: set[str]) -> list[ast.stmt]:
    """Top-level statements that what is named does not need: imports take their time."""
    needed, kept = set(names), set[ast.stmt]()
    while True:
        new = [node for node in body if node not in kept and _defined_by(node) & needed]
        if not new:
            return [node for node in body if node not in kept and not _is_docstring(node)]
        kept.update(new)
        needed |= {inner.id for node in new for inner in ast.walk(node) if isinstance(inner, ast.Name)}


def _defined_by(node: ast.stmt) -> set[str]:
    """The names that a statement defines, or does something to."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", getattr(node, "value", node))]
    return {inner.id for target in targets for inner in ast.walk(target) if isinstance(inner, ast.Name)}


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
