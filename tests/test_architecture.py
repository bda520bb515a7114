"""What the documents say of the code is there: files, modules, links, and the floors that import-linter holds."""

import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import practicum

ROOT = Path(__file__).parents[1]
PACKAGE = Path(practicum.__file__).parent
MAPS = ["docs/architecture.md", "CONTRIBUTING.md"]
"""Documents that name no files but ours; the others name their readers' files too."""
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md"))
DOCUMENTS = sorted({*MAPS, *PAGES, "README.md", "docker/README.md"})
ROOMS = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
FOLDERS = ROOMS | {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
WRITTEN_BY_A_RUN = {"runs/", ".environments/", ".practicum/", "trajectories/", "undelivered/"}
FILE = re.compile(r"[\w.<>-]+(/[\w.<>-]+)*(\.py|\.sh|\.toml|/)")
DOTTED = re.compile(r"(\w+(?:\.\w+)+)(?::(\w+))?")


def text(document):
    return (ROOT / document).read_text(encoding="utf-8")


def in_code(document):
    """What stands between single backticks, outside blocks."""
    prose = re.sub(r"^```.*?^```", "", text(document), flags=re.MULTILINE | re.DOTALL)
    return set(re.findall(r"`([^`\n]+)`", prose))


def exists(path):
    """Whether a path of the clone or of the package is there; ``<name>`` stands for any name."""
    pattern = re.sub(r"<\w+>", "*", path.rstrip("/"))
    return any(next(folder.glob(pattern), None) is not None for folder in (ROOT, PACKAGE))


def resolves(dotted):
    """Whether a dotted name is a module, or something that a module defines."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        try:
            value = import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for name in parts[length:]:
            value = getattr(value, name, None)
        return value is not None
    return False


def anchors(document):
    """What a link's part after ``#`` may be: the headings, as code hosts write them."""
    titles = re.findall(r"^#+ (.+)$", text(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_that_a_document_names_is_there(document):
    paths = {word for word in in_code(document) if FILE.fullmatch(word)} - WRITTEN_BY_A_RUN
    ours = paths if document in MAPS else {path for path in paths if path.rstrip("/").partition("/")[0] in FOLDERS}
    assert [path for path in sorted(ours) if not exists(path)] == []


@pytest.mark.parametrize("document", DOCUMENTS)
@pytest.mark.filterwarnings("error:practicum:DeprecationWarning")
def test_every_module_that_a_document_names_is_there_under_its_present_name(document):
    imported = re.findall(r"^(?:from|import) (practicum[\w.]*)", text(document), re.MULTILINE)
    named = [match.groups(default="") for match in map(DOTTED.fullmatch, in_code(document)) if match]
    tops = {"practicum", "practicum_benchmarks"}
    names = {f"{module}.{attribute}".rstrip(".") for module, attribute in named if module.partition(".")[0] in tops}
    # A map leaves the package's own name out.
    names |= {f"practicum.{module}" for module, _ in named if document in MAPS and module.partition(".")[0] in ROOMS}
    assert [name for name in sorted({*names, *imported}) if not resolves(name)] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_within_the_clone_leads_somewhere(document):
    for target in re.findall(r"\]\(([^)\s]+)\)", text(document)):
        if not re.match(r"[a-z]+:", target):
            place, _, anchor = target.partition("#")
            path = (ROOT / document).parent / place if place else ROOT / document
            assert path.exists(), target
            assert not anchor or anchor in anchors(path), target


def test_the_picture_shows_the_floors_that_import_linter_holds():
    contracts = tomllib.loads(text("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    (picture,) = re.findall(r"^```\n(__main__.*?)^```", text("docs/architecture.md"), re.MULTILINE | re.DOTALL)
    assert [re.split(r"\s{2,}", line)[0] for line in picture.splitlines()] == layers


def test_every_room_has_its_paragraph():
    titles = re.findall(r"^\*\*([\w, ]+)\.\*\*", text("docs/architecture.md"), re.MULTILINE)
    described = {name for title in titles for name in title.split(", ")}
    assert ROOMS - described == {"recipes"}  # files of data
