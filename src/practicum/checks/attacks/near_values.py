"""Wrong values that look like the right ones: what a comparison that is not strict takes for right."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from practicum.checks.attacks.material import Family, Material, PlayedTask, Variants, answered

Change = Callable[[Any], Any]

_LOOKS = str.maketrans("aceiopxyABCEHKMOPTX", "асеіорхуАВСЕНКМОРТХ")
"""Latin letters and Cyrillic ones that look the same."""


def _texts(change: Callable[[str], str]) -> Change:
    return lambda value: change(value) if isinstance(value, str) else value


def _numbers(change: Callable[[float], float]) -> Change:
    return lambda value: change(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


_LOOK_ALIKES: Mapping[str, Change] = {
    "Cyrillic": _texts(lambda text: text.translate(_LOOKS)),
    "full width": _texts(lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)),
    "zero width": _texts(lambda text: "\u200b".join(text) if len(text) > 1 else f"{text}\u200b"),
    "combining": _texts(lambda text: f"{text}\u0301"),
}
_CASES: Mapping[str, Change] = {
    "swapped": _texts(str.swapcase),
    "upper": _texts(str.upper),
    "lower": _texts(str.lower),
    "title": _texts(str.title),
}
_PADDED: Mapping[str, Change] = {
    "spaces": _texts(lambda text: f" {text} "),
    "full stop": _texts(lambda text: f"{text}."),
    "quoted": _texts(lambda text: f'"{text}"'),
    "denied": _texts(lambda text: f"not {text}"),
    "one of many": _texts(lambda text: f"{text} or something else"),
    "doubled": _texts(lambda text: f"{text} {text}"),
    "with underscores": _texts(lambda text: text.replace(" ", "_").replace("-", "_") + "_"),
}
_PARTS: Mapping[str, Change] = {
    "first letter": _texts(lambda text: text[:1] if len(text) > 1 else ""),
    "without the last letter": _texts(lambda text: text[:-1]),
    "without the first letter": _texts(lambda text: text[1:]),
    "first half": _texts(lambda text: text[: len(text) // 2]),
}
_CLOSE: Mapping[str, Change] = {
    "one more": _numbers(lambda number: number + 1),
    "one less": _numbers(lambda number: number - 1),
    "a little more": _numbers(lambda number: number + 0.4),
    "a per mille": _numbers(lambda number: number * 1.001 + 1e-4),
    "a percent": _numbers(lambda number: number * 1.01 + 1e-3),
    "the other sign": _numbers(lambda number: -number if number else -1),
}
_TYPES: Mapping[str, Change] = {
    "numbers as text": _numbers(str),  # type: ignore[arg-type]
    "everything as text": lambda value: value if isinstance(value, str) else json.dumps(value),
    "truth as a number": lambda value: int(value) if isinstance(value, bool) else value,
    "numbers as truth": lambda value: bool(value) if value in (0, 1) and not isinstance(value, bool) else value,
    "in a list": lambda value: [value],
    "in an object": lambda value: {"value": value},
}


def _family(name: str, tries: str, changes: Mapping[str, Change]) -> Family:
    """All fields changed alike, after the oracle's work. A change that changes nothing is left out."""

    def make(material: Material, case: PlayedTask) -> Variants:
        base = case.idle if case.solved is None or material.by_state else case.solved
        if not material.form.is_object or not case.label:
            return
        for variant, change in changes.items():
            made = {field: change(value) for field, value in case.label.items()}
            if any(_differs(made[field], value) for field, value in case.label.items()):
                yield variant, answered(base, material.form.write(made))

    return Family(name, "near", tries, make)


def _differs(one: Any, other: Any) -> bool:
    return type(one) is not type(other) or bool(one != other)


NEAR = (
    _family("look-alikes", "letters that look like the right ones", _LOOK_ALIKES),
    _family("other-case", "capitals where none are, and the reverse", _CASES),
    _family("padded", "the right value and more", _PADDED),
    _family("part-of-value", "a piece of the right value", _PARTS),
    _family("close-numbers", "numbers that are nearly right", _CLOSE),
    _family("wrong-type", "the right value as another type", _TYPES),
)
