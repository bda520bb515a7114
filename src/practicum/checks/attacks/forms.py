"""Right values in a form that is not the one asked for. A reader that takes them also takes what comes by chance."""
# ruff: noqa: ARG001 (all take the same, and each uses what it needs)

import json
from collections.abc import Callable
from typing import Any

from practicum.checks.attacks.material import Family, Kind, Material, PlayedTask, Variants, answered, scalars
from practicum.trajectory import Rollout

Make = Callable[[Material, PlayedTask, Rollout, str], Variants]
"""From the material, the case, the solved rollout and the content of its answer, as text."""


def _wrong_tag(material: Material, case: PlayedTask, solved: Rollout, inner: str) -> Variants:
    tag = material.form.tag
    yield "no tag", answered(solved, inner)
    yield "another tag", answered(solved, f"<output>{inner}</output>")
    yield "upper case", answered(solved, f"<{tag.upper()}>{inner}</{tag.upper()}>")
    yield "attribute", answered(solved, f'<{tag} id="1">{inner}</{tag}>')
    yield "plural", answered(solved, f"<{tag}s>{inner}</{tag}s>")
    yield "spaces", answered(solved, f"< {tag} >{inner}</ {tag} >")


def _two_tags(material: Material, case: PlayedTask, solved: Rollout, inner: str) -> Variants:
    right, tag = solved.answer, material.form.tag
    wrong = _wrong(material, case)
    yield "wrong, then right", answered(solved, f"{wrong}\n{right}")
    yield "right, then wrong", answered(solved, f"{right}\n{wrong}")
    yield "right twice", answered(solved, f"{right}\n{right}")
    yield "one within the other", answered(solved, f"<{tag}>{right}</{tag}>")
    others = "\n".join([material.form.write(label) for label in material.labels[:20]] or material.answers[:20])
    yield "every label in its own", answered(solved, f"{others}\n{right}")


def _prose(material: Material, case: PlayedTask, solved: Rollout, inner: str) -> Variants:
    right = solved.answer
    yield "before", answered(solved, f"I think that the answer is {right}")
    yield "after", answered(solved, f"{right} I hope this helps.")
    yield "code block", answered(solved, f"```\n{right}\n```")
    yield "without the tag", answered(solved, f"The answer is {inner}, I believe.")
    yield "denied", answered(solved, f"It is certainly not {right}, but I do not know what it is.")


def _truncated(material: Material, case: PlayedTask, solved: Rollout, inner: str) -> Variants:
    right, after = solved.answer, material.form.after.strip()
    if after:
        yield "no end", answered(solved, right.rstrip().removesuffix(after))
        yield "half an end", answered(solved, right.rstrip()[:-1])
        yield "no beginning", answered(solved, right.replace(material.form.before, "", 1))
    if material.form.is_object:
        yield "within the object", answered(solved, right[: right.rfind("}")])
        yield (
            "cut by the limit",
            Rollout(
                solved.task,
                answered(solved, right[: right.rfind("}")]).messages,
                solved.tool_calls,
                solved.final_state,
                "length",
            ),
        )


def _duplicated(material: Material, case: PlayedTask, solved: Rollout, inner: str) -> Variants:
    label = json.loads(inner)
    for name, order in (("right last", 1), ("right first", -1)):
        pairs = [
            (key, value) for key in label for value in (_rival_value(material, key, label[key]), label[key])[::order]
        ]
        yield name, answered(solved, _written(material, pairs))
    every = [(key, value) for key in label for value in (*material.values(key)[:20], label[key])]
    yield "all values", answered(solved, _written(material, every))


def _extra(material: Material, case: PlayedTask, solved: Rollout, inner: str) -> Variants:
    label = json.loads(inner)
    yield "one more field", answered(solved, material.form.write({**label, "certain": True}))
    yield "a score", answered(solved, material.form.write({**label, "score": 1, "reward": 1, "correct": True}))
    if len(label) > 1:
        yield "all in one field", answered(solved, material.form.write({"answer": label}))


def _swapped(material: Material, case: PlayedTask, solved: Rollout, inner: str) -> Variants:
    label = json.loads(inner)
    names = list(label)
    if len(names) > 1:
        moved = dict(zip(names, [label[name] for name in (*names[1:], names[0])], strict=True))
        yield "by one", answered(solved, material.form.write(moved))
        text = " ".join(str(value) for value in scalars(label))
        yield "all in each", answered(solved, material.form.write(dict.fromkeys(names, text)))


def _loose_json(material: Material, case: PlayedTask, solved: Rollout, inner: str) -> Variants:
    label, form = json.loads(inner), material.form
    yield "single quotes", answered(solved, f"{form.before}{label!r}{form.after}")
    yield "a list", answered(solved, f"{form.before}[{inner}]{form.after}")
    yield "trailing comma", answered(solved, f"{form.before}{inner[: inner.rfind('}')]},}}{form.after}")
    lines = "\n".join(f"{key}: {value}" for key, value in label.items())
    yield "lines", answered(solved, f"{form.before}{lines}{form.after}")
    yield "two objects", answered(solved, f"{form.before}{inner}{inner}{form.after}")


def _wrong(material: Material, case: PlayedTask) -> str:
    """An answer in the right form that is wrong."""
    if material.form.is_object:
        return material.form.write({name: _rival_value(material, name, value) for name, value in case.label.items()})
    return material.form.write("?")


def _rival_value(material: Material, name: str, right: Any) -> Any:
    return next((value for value in material.values(name) if value != right), f"not {right}")


def _written(material: Material, pairs: list[tuple[str, Any]]) -> str:
    inner = ", ".join(f"{json.dumps(key)}: {json.dumps(value, default=str)}" for key, value in pairs)
    return f"{material.form.before}{{{inner}}}{material.form.after}"


def _family(name: str, tries: str, make: Make, *, objects: bool = False, kind: Kind = "form") -> Family:
    """A family over solved rollouts whose work leaves no mark, so that only the answer can be judged."""

    def variants(material: Material, case: PlayedTask) -> Variants:
        solved, form = case.solved, material.form
        if solved is None or material.by_state or not (form.before or form.is_object):
            return ()
        content = form.read(solved.answer)
        if content is None or (objects and not form.is_object):
            return ()
        inner = json.dumps(content, ensure_ascii=False) if form.is_object else str(content)
        return make(material, case, solved, inner)

    return Family(name, kind, tries, variants)


FORMS = (
    _family("wrong-tag", "the right values under another tag, or none", _wrong_tag),
    _family("two-tags", "several answers, one of them right", _two_tags),
    _family("in-prose", "the right answer within sentences", _prose),
    _family("truncated", "the right answer, cut off", _truncated),
    _family("duplicated-keys", "fields given more than once", _duplicated, objects=True),
    _family("extra-fields", "the right fields and others", _extra, objects=True),
    _family("loose-json", "what is nearly JSON", _loose_json, objects=True),
    _family("swapped-fields", "the right values in the wrong fields", _swapped, objects=True, kind="near"),
)
