"""From YAML text and overrides to a Recipe, or to one error that lists all that is wrong."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from practicum.errors import RecipeError
from practicum.recipe.explain import allowed
from practicum.recipe.layout import EVALUATION_TEMPERATURE, SECTIONS, SPELLINGS
from practicum.recipe.model import Recipe
from practicum.text import shortened
from practicum.yaml_reader import parse, reads_as_number

EXTENDS = "extends"
"""The one key that is no setting: the recipe file whose settings this one starts from."""

_EXPLAIN = "`practicum recipe explain support_desk` lists every key"


@dataclass(frozen=True)
class _Entry:
    """One value as the user wrote it."""

    spelling: str
    value: Any
    where: str
    source: str
    folder: Path
    """Where a relative path in the value starts."""


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe file.

    Keys are flat, or nested as in AWS's recipe files, or both. Relative paths, in overrides too, start at the
    recipe's folder. ``extends: other.yaml`` (a path from the file's own folder) takes every setting of another recipe
    that this one does not give itself; that one may extend a third, and its relative paths start at its folder.

    Args:
        path: The YAML file.
        overrides: ``key=value`` each, the key flat or dotted (``rl.loss_fn=cispo``), the value as in YAML.
            They replace what the file says, and a later one an earlier.

    Raises:
        RecipeError: a file cannot be read or extends itself; a key is unknown or given twice; a value is of the wrong
            type or out of range; settings contradict each other. All that is wrong is reported at once.
    """
    path = Path(path)
    folder = path.absolute().parent
    return _build(_from_file(path, folder, "file", ()), overrides, folder, str(path))


def build_recipe(values: Mapping[str, Any], overrides: Sequence[str] = (), *, folder: str | Path = ".") -> Recipe:
    """A recipe from Python values, flat or nested like a file's; relative paths start at ``folder``.

    Raises:
        RecipeError: as ``load_recipe``.
    """
    where, home = "the values given", Path(folder).absolute()
    return _build(_from_values(values, where, {}, home, home, "file", ()), overrides, home, where)


def _build(written: Iterable[_Entry], overrides: Sequence[str], folder: Path, where: str) -> Recipe:
    entries, errors = list(written), list[RecipeError]()
    for text in overrides:
        try:
            entries.append(_override(text, folder))
        except RecipeError as error:
            errors.append(error)
    settings = _by_flat_name(entries, errors)
    values = {key: _located(key, entry.value, entry.folder) for key, entry in settings.items()}
    try:
        recipe = Recipe.model_validate(values, context={key: entry.source for key, entry in settings.items()})
    except ValidationError as error:
        errors += _translated(error, settings, where)
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


def _from_file(path: Path, home: Path, source: str, above: Sequence[Path]) -> list[_Entry]:
    """What a file gives, after what the files it extends give.

    Args:
        path: The file.
        home: Folder of the recipe that was asked for; sources name other files from there.
        source: What values of this file are said to come from.
        above: The files that led here, outermost first.
    """
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
    return _from_values(values, str(path), lines, path.absolute().parent, home, source, (*above, path))


def _from_values(
    values: Mapping[str, Any],
    file: str,
    lines: Mapping[str, int],
    folder: Path,
    home: Path,
    source: str,
    above: Sequence[Path],
) -> list[_Entry]:
    settings = {key: value for key, value in values.items() if key != EXTENDS}
    entries = _spelled_out(settings, file, lines, source, folder)
    extended = values.get(EXTENDS)
    if extended is None:
        return list(entries)
    where = f"{file}, line {lines[EXTENDS]}" if EXTENDS in lines else file
    if not isinstance(extended, str) or not extended.strip():
        raise RecipeError(f"{EXTENDS} may not be {_show(extended)}", where=where, allowed="the path of a recipe file")
    path = Path(os.path.normpath(_below(folder, extended)))
    if any(path.resolve() == other.resolve() for other in above):
        names = " extends ".join([*(str(other) for other in above), str(path)])
        raise RecipeError(f"the recipe extends itself: {names}", where=where, fix=f"remove one of the {EXTENDS} lines")
    if not path.is_file():
        raise RecipeError(
            f"no recipe file at {path}, which this one {EXTENDS}",
            where=where,
            allowed=f"a path from {folder}, or an absolute one",
            fix="check the path",
        )
    return [*_from_file(path, home, f"{EXTENDS} {os.path.relpath(path, home)}", above), *entries]


def _spelled_out(
    values: Mapping[str, Any], file: str, lines: Mapping[str, int], source: str, folder: Path
) -> Iterator[_Entry]:
    """Sections opened: every setting with the name the user gave it, inner keys as ``section.key``."""
    for key, value in values.items():
        inner = {} if value is None else value
        if key in SECTIONS and isinstance(inner, Mapping):
            named = {f"{key}.{name}": item for name, item in inner.items()}
        else:
            named = {str(key): value}
        for spelling, item in named.items():
            where = f"{file}, line {lines[spelling]}" if spelling in lines else file
            yield _Entry(spelling, item, where, source, folder)


def _override(text: str, folder: Path) -> _Entry:
    key, equals, value = text.partition("=")
    where = f"override {_show(text)}"
    if not (key.strip() and equals):
        raise RecipeError("an override is key=value", where=where, allowed="such as learning_rate=1e-5", fix=_EXPLAIN)
    if key.strip() == EXTENDS:
        raise RecipeError(f"{EXTENDS} cannot be overridden", where=where, fix="give it in a recipe file")
    return _Entry(key.strip(), parse(value, where)[0], where, "override", folder)


def _by_flat_name(entries: Sequence[_Entry], errors: list[RecipeError]) -> dict[str, _Entry]:
    settings: dict[str, _Entry] = {}
    for entry in entries:
        if entry.spelling == EVALUATION_TEMPERATURE and not any(_names(one, "val_temperature") for one in entries):
            settings["val_temperature"] = entry
        key = SPELLINGS.get(entry.spelling, entry.spelling)
        if key not in Recipe.model_fields:
            errors.append(_unknown(entry))
            continue
        earlier = settings.get(key)
        if earlier and entry.source == earlier.source != "override" and entry.value != earlier.value:
            errors.append(_contradiction(earlier, entry))
        settings[key] = entry
    return _with_model(settings)


def _with_model(settings: dict[str, _Entry]) -> dict[str, _Entry]:
    """AWS's templates leave the model's name empty, or give it as the base model's only."""
    names = ("model_name", "base_model_name")
    empty = {key for key in names if key in settings and settings[key].value in (None, "")}
    settings = {key: replace(entry, value=None) if key in empty else entry for key, entry in settings.items()}
    if "base_model_name" in settings.keys() - empty and ("model_name" in empty or "model_name" not in settings):
        settings["model_name"] = settings["base_model_name"]
    return settings


def _names(entry: _Entry, key: str) -> bool:
    return SPELLINGS.get(entry.spelling, entry.spelling) == key


def _located(key: str, value: Any, folder: Path) -> Any:
    """The value, with a path in it made absolute."""
    if not isinstance(value, str):
        return value
    if key in ("training_dataset", "validation_dataset", "test_dataset", "output_path"):
        # A path library folds the two slashes of an address into one.
        return value if re.match(r"[a-z][a-z0-9]+:/", value) else str(_below(folder, value))
    if key in ("model_name", "warmstart_source"):
        return _model_located(value, folder)
    file, colon, name = value.rpartition(":")
    if key in ("environment", "score") and file.endswith(".py"):
        return f"{_below(folder, file)}{colon}{name}"
    return value


def _model_located(value: str, folder: Path) -> str:
    if value.startswith(("./", "../", "~/")):
        return str(_below(folder, value))
    if "/" not in value or "://" in value:
        return value
    # A run that goes on from another folder has to find it too.
    there = (base / value for base in (folder, Path.cwd()))
    return next((str(path) for path in there if path.exists()), value)


def _below(folder: Path, path: str) -> Path:
    return folder / (Path(path).expanduser() if path.startswith("~/") else path)


def _unknown(entry: _Entry) -> RecipeError:
    if entry.spelling in SECTIONS:
        return RecipeError(
            f"{entry.spelling} is a section, but holds {_show(entry.value)}",
            where=entry.where,
            allowed="the keys " + ", ".join(SECTIONS[entry.spelling]),
        )
    return RecipeError(
        f"unknown key {entry.spelling} (its value: {_show(entry.value)})",
        where=entry.where,
        allowed=_EXPLAIN,
        fix=f"the nearest known key is {near}"
        if (near := _nearest(entry.spelling))
        else "take it out: no key is near it",
    )


def _nearest(spelling: str) -> str:
    """The known key that is probably meant; empty where none is near."""
    name = spelling.rpartition(".")[2]
    if name in Recipe.model_fields:
        return name
    known = [*Recipe.model_fields, *SPELLINGS, *SECTIONS, EXTENDS]
    return next(iter(get_close_matches(spelling, known, n=1) or get_close_matches(name, known, n=1)), "")


def _contradiction(first: _Entry, second: _Entry) -> RecipeError:
    return RecipeError(
        f"{first.spelling} is {_show(first.value)}, but {second.spelling}, the same setting, is {_show(second.value)}",
        where=f"{first.where}; {second.where}",
        fix="remove one of the two",
    )


def _translated(error: ValidationError, settings: Mapping[str, _Entry], where: str) -> Iterator[RecipeError]:
    reported: set[str] = set()
    for detail in error.errors():
        if not detail["loc"]:
            clash = f"settings contradict each other: {detail['ctx']['error']}"
            yield RecipeError(clash, where=where, fix="change one of them")
            continue
        key = str(detail["loc"][0])
        # A default that follows another setting fails with it; a list may fail at several places.
        if key in settings and settings[key].spelling not in reported:
            reported.add(settings[key].spelling)
            yield _refused(key, settings[key], detail)


def _refused(key: str, entry: _Entry, detail: ErrorDetails) -> RecipeError:
    # Of a mapping only the value that is wrong, not all it holds.
    wrong = detail["input"] if isinstance(entry.value, dict) else entry.value
    fix = "put it in quotes" if detail["type"] == "string_type" and entry.value is not None else ""
    if detail["type"] in ("int_type", "float_type") and reads_as_number(str(detail["input"])):
        fix = "take it out of the quotes" if isinstance(detail["input"], str) else "write it without a fraction"
    return RecipeError(
        f"{entry.spelling} may not be {_show(wrong)}",
        where=entry.where,
        allowed=allowed(key),
        fix=fix,
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
    return shortened(repr(value), 80)
