"""From YAML text and overrides to a Recipe, or to one error that lists all that is wrong."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from practicum.errors import RecipeError
from practicum.recipe.explain import allowed
from practicum.recipe.layout import SECTIONS, SPELLINGS
from practicum.recipe.model import Recipe
from practicum.recipe.yaml_text import parse

_EXPLAIN = "`practicum recipe explain` lists every key"


@dataclass(frozen=True)
class _Given:
    """One value as the user wrote it."""

    spelling: str
    value: Any
    where: str
    source: Literal["file", "override"]


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe file.

    Keys are flat, or nested as in AWS's recipe files, or both. Relative paths, in overrides too, start at the
    recipe's folder.

    Args:
        path: The YAML file.
        overrides: ``key=value`` each, the key flat or dotted (``rl.loss_fn=cispo``), the value as in YAML.
            They replace what the file says, and a later one an earlier.

    Raises:
        RecipeError: the file cannot be read; a key is unknown or given twice; a value is of the wrong type or
            out of range; settings contradict each other. All that is wrong is reported at once.
    """
    path = Path(path)
    values, lines = parse(_read(path), str(path))
    if values is None:
        raise RecipeError(
            "the recipe is empty",
            where=str(path),
            fix=f"give at least model_name and environment; {_EXPLAIN}",
        )
    if not isinstance(values, dict):
        raise RecipeError(
            f"a recipe is a mapping of keys to values, this is {_show(values)}",
            where=str(path),
            allowed="lines such as `learning_rate: 4e-5`",
        )
    return _build(_spelled_out(values, str(path), lines), overrides, path.absolute().parent, str(path))


def build_recipe(values: Mapping[str, Any], overrides: Sequence[str] = (), *, folder: str | Path = ".") -> Recipe:
    """A recipe from Python values, flat or nested like a file's; relative paths start at ``folder``.

    Raises:
        RecipeError: as ``load_recipe``.
    """
    where = "the values given"
    return _build(_spelled_out(values, where, {}), overrides, Path(folder).absolute(), where)


def _build(written: Iterable[_Given], overrides: Sequence[str], folder: Path, where: str) -> Recipe:
    given, errors = list(written), list[RecipeError]()
    for text in overrides:
        try:
            given.append(_override(text))
        except RecipeError as error:
            errors.append(error)
    found = _by_flat_name(given, errors)
    values = {key: _located(key, each.value, folder) for key, each in found.items()}
    overridden = frozenset(key for key, each in found.items() if each.source == "override")
    try:
        recipe = Recipe.model_validate(values, context=overridden)
    except ValidationError as error:
        errors += _translated(error, found, where)
    if errors:
        raise _together(errors)
    return recipe


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise RecipeError("no such recipe file", where=str(path), fix="check the path") from error
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(
            f"cannot read the recipe: {error}", where=str(path), allowed="a text file in UTF-8"
        ) from error


def _spelled_out(values: Mapping[str, Any], file: str, lines: Mapping[str, int]) -> Iterator[_Given]:
    """Sections opened: every setting with the name the user gave it, inner keys as ``section.key``."""
    for key, value in values.items():
        inner = {} if value is None else value
        if key in SECTIONS and isinstance(inner, Mapping):
            named = {f"{key}.{name}": item for name, item in inner.items()}
        else:
            named = {str(key): value}
        for spelling, item in named.items():
            where = f"{file}, line {lines[spelling]}" if spelling in lines else file
            yield _Given(spelling, item, where, "file")


def _override(text: str) -> _Given:
    key, equals, value = text.partition("=")
    where = f"override {_show(text)}"
    if not (key.strip() and equals):
        raise RecipeError("an override is key=value", where=where, allowed="such as learning_rate=1e-5", fix=_EXPLAIN)
    return _Given(key.strip(), parse(value, where)[0], where, "override")


def _by_flat_name(given: Sequence[_Given], errors: list[RecipeError]) -> dict[str, _Given]:
    found: dict[str, _Given] = {}
    for each in given:
        key = SPELLINGS.get(each.spelling, each.spelling)
        if key not in Recipe.model_fields:
            errors.append(_unknown(each))
            continue
        earlier = found.get(key)
        if earlier and each.source == earlier.source == "file" and each.value != earlier.value:
            errors.append(_contradiction(earlier, each))
        found[key] = each
    return found


def _located(key: str, value: Any, folder: Path) -> Any:
    """The value, with a path in it made absolute."""
    if not isinstance(value, str):
        return value
    if key in ("training_dataset", "validation_dataset"):
        return str(_below(folder, value))
    if key == "model_name" and value.startswith(("./", "../", "~/")):
        return str(_below(folder, value))
    file, colon, name = value.rpartition(":")
    if key == "environment" and file.endswith(".py"):
        return f"{_below(folder, file)}{colon}{name}"
    return value


def _below(folder: Path, path: str) -> Path:
    return folder / (Path(path).expanduser() if path.startswith("~/") else path)


def _unknown(given: _Given) -> RecipeError:
    if given.spelling in SECTIONS:
        return RecipeError(
            f"{given.spelling} is a section, but holds {_show(given.value)}",
            where=given.where,
            allowed="the keys " + ", ".join(SECTIONS[given.spelling]),
        )
    return RecipeError(
        f"unknown key {given.spelling} (its value: {_show(given.value)})",
        where=given.where,
        allowed=_EXPLAIN,
        fix=f"the nearest known key is {_nearest(given.spelling)}",
    )


def _nearest(spelling: str) -> str:
    name = spelling.rpartition(".")[2]
    if name in Recipe.model_fields:
        return name
    known = [*Recipe.model_fields, *SPELLINGS, *SECTIONS]
    return (get_close_matches(spelling, known, n=1) or get_close_matches(name, known, n=1, cutoff=0.0))[0]


def _contradiction(first: _Given, second: _Given) -> RecipeError:
    return RecipeError(
        f"{first.spelling} is {_show(first.value)}, but {second.spelling}, the same setting, is {_show(second.value)}",
        where=f"{first.where}; {second.where}",
        fix="remove one of the two",
    )


def _translated(error: ValidationError, found: Mapping[str, _Given], where: str) -> Iterator[RecipeError]:
    seen: set[str] = set()
    for detail in error.errors():
        if not detail["loc"]:
            clash = f"settings contradict each other: {detail['ctx']['error']}"
            yield RecipeError(clash, where=where, fix="change one of them")
            continue
        key = str(detail["loc"][0])
        # A default that follows another setting fails with it; a list may fail at several places.
        if key in found and key not in seen:
            seen.add(key)
            yield _refused(key, found[key], detail)


def _refused(key: str, given: _Given, detail: ErrorDetails) -> RecipeError:
    # Of a mapping only the value that is wrong, not all it holds.
    wrong = detail["input"] if isinstance(given.value, dict) else given.value
    quotes = detail["type"] == "string_type" and given.value is not None
    return RecipeError(
        f"{given.spelling} may not be {_show(wrong)}",
        where=given.where,
        allowed=allowed(key),
        fix="put it in quotes" if quotes else "",
    )


def _together(errors: list[RecipeError]) -> RecipeError:
    if len(errors) == 1:
        return errors[0]
    listing = "\n".join(str(error) for error in errors)
    return RecipeError(f"{len(errors)} things are wrong with the recipe\n{listing}")


def _show(value: Any) -> str:
    """A value as in YAML, cut to a line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
