"""Answers in the right form that know nothing: they may earn what guessing earns, and no more."""

from collections.abc import Sequence
from typing import Any

from practicum.checks.attacks.material import Family, Material, PlayedTask, Variants, answered

MOST = 8
"""Variants of one kind."""
MOST_JOINED = 50
"""Texts that are given at once."""


def _constant(material: Material, case: PlayedTask) -> Variants:
    """Each label, and each of the oracle's answers, as the answer to everything."""
    for n, label in enumerate(material.labels[:MOST]):
        yield f"label {n + 1}", answered(case.idle, material.form.write(label))
    if not material.by_state and not material.form.is_object:
        for n, answer in enumerate(material.answers[:MOST]):
            yield f"answer {n + 1}", answered(case.idle, answer)


def _most_frequent(material: Material, case: PlayedTask) -> Variants:
    if material.fields:
        yield "", _filled(material, case, {name: material.values(name)[0] for name in material.fields})


def _one_value(material: Material, case: PlayedTask) -> Variants:
    """One value in every field."""
    values = [value for name in material.fields for value in material.values(name)[:2]]
    for value in [*values, True, False, 0, 1, "yes", "no"][: 2 * MOST]:
        yield repr(value), _filled(material, case, dict.fromkeys(material.fields, value))


def _all_labels(material: Material, case: PlayedTask) -> Variants:
    texts = material.texts
    for joint in (", ", " or ", " ", "|", "\n") if len(texts) > 1 else ():
        yield f"joined by {joint!r}", answered(case.idle, material.form.write(joint.join(texts[:MOST_JOINED])))
    every = {name: material.values(name) for name in material.fields}
    if not _has_fields(material, case):
        return
    yield "as lists", _filled(material, case, every)
    for joint in (", ", " or ", " ", "|"):
        told = {name: joint.join(str(value) for value in values) for name, values in every.items()}
        yield f"joined by {joint!r}", _filled(material, case, told)


def _null_like(material: Material, case: PlayedTask) -> Variants:
    nulls: tuple[Any, ...] = (None, "", "null", "None", "unknown", "n/a", "nan", "-", "undefined", {}, [])
    yield from _as_text(material, case, [value for value in nulls if isinstance(value, str)])
    for value in nulls if _has_fields(material, case) else ():
        yield repr(value), _filled(material, case, dict.fromkeys(material.fields, value))


def _huge(material: Material, case: PlayedTask) -> Variants:
    for value in (10**400, 1e308, -(10**400), -1, 0.0, 2**63):
        yield str(value)[:12], _filled(material, case, dict.fromkeys(material.fields, value))
    for word in ("NaN", "Infinity", "-Infinity", "1e999"):
        fields = ", ".join(f'"{name}": {word}' for name in material.fields)
        form = material.form
        if fields:
            yield word, answered(case.idle, f"{form.before}{{{fields}}}{form.after}")


def _letter(material: Material, case: PlayedTask) -> Variants:
    letters = ("a", "e", "i", "s", "0", "1", " ", ".")
    # Where an answer is a letter, as in a multiple choice, letters are what "constant" tries.
    yield from _as_text(material, case, letters if all(len(text) > 1 for text in material.texts) else ())
    for letter in letters if _has_fields(material, case) else ():
        yield repr(letter), _filled(material, case, dict.fromkeys(material.fields, letter))


def _as_text(material: Material, case: PlayedTask, words: Sequence[str]) -> Variants:
    """Words as the whole answer, where answers are texts; without those that are one, however it is written."""
    known = {text.strip().casefold() for text in material.texts}
    for word in words if known else ():
        if word.strip().casefold() not in known:
            yield repr(word), answered(case.idle, material.form.write(word))


def _filled(material: Material, case: PlayedTask, fields: dict[str, Any]) -> Any:
    """An answer of these fields, after no work; only of fields that this task's label has."""
    own = {name: value for name, value in fields.items() if name in case.label}
    return answered(case.idle, material.form.write(own))


def _has_fields(material: Material, case: PlayedTask) -> bool:
    """Whether the answer is an object, and this task's has fields."""
    return material.form.is_object and bool(case.label)


def _of_objects(family: Family) -> Family:
    """The family, where answers are objects with fields."""

    def make(material: Material, case: PlayedTask) -> Variants:
        return family.make(material, case) if _has_fields(material, case) else ()

    return Family(family.name, family.kind, family.tries, make)


GUESSES = (
    Family("constant", "constant", "the same label as the answer to every task", _constant),
    *map(
        _of_objects,
        (
            Family("most-frequent", "constant", "the most frequent value of each field", _most_frequent),
            Family("one-value", "constant", "one value in every field", _one_value),
            Family("huge-numbers", "constant", "numbers too large, negative, or none", _huge),
        ),
    ),
    Family("all-labels", "constant", "all values of a field, or all answers, at once", _all_labels),
    Family("null-like", "constant", "null, none, unknown, empty", _null_like),
    Family("one-letter", "constant", "one letter in every field, or as the answer", _letter),
)
