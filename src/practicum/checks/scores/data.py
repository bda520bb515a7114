"""DATA-: tasks that stand in two splits, word for word or nearly; that stand twice; that give their label away."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile

from practicum.checks.attacks.material import scalars
from practicum.checks.findings import Finding
from practicum.checks.scores.near_duplicates import near_duplicates, normalized
from practicum.digests import canonical_json
from practicum.tasks import Task, content_of, is_game
from practicum.text import shortened

ALIKE = 0.8
"""Share of shingles in common from which two prompts are nearly the same."""
TEMPLATED = 0.2
"""Share of a split's own prompts with a near copy in it, from which alikeness is the tasks' form and tells nothing."""
SAMPLED = 400
"""Tasks of a split in which near copies are looked for."""
LEAKED = 0.3
"""How much more than the best constant answer the prompt alone may give away."""

LABELLED = 5
"""Tasks with a label from which it can be told whether prompts give labels away."""


def check_data(tasks: Mapping[str, Sequence[Task]], where: str, *, batch: int | None = None) -> list[Finding]:
    """All findings on the tasks of all splits.

    Args:
        tasks: By split. Where all have one prompt, label and metadata tell them apart.
        batch: Tasks that a training step needs.
    """
    content = content_of if is_game(task for some in tasks.values() for task in some) else _words
    findings = [*_overlaps(tasks, where, content), *_near(tasks, where), *_duplicates(tasks, where, content)]
    if batch is not None and "train" in tasks and len(tasks["train"]) < batch:
        title = f"{len(tasks['train'])} training tasks, fewer than global_batch_size {batch}"
        findings.append(Finding.of("DATA-SMALL", title, where=where))
    return findings + _labels(tasks, where) + _leaks(tasks, where)


def _words(task: Task) -> str:
    return normalized(task.asked) or task.asked


def _own_words(tasks: Sequence[Task]) -> list[str]:
    """What each task tells its agent, without the messages that all of them begin with: these make nobody alike."""
    columns = zip(*(task.history for task in tasks), strict=False)
    shared = sum(1 for _ in takewhile(lambda column: all(said == column[0] for said in column), columns))
    return [replace(task, history=task.history[shared:]).asked for task in tasks]


def _overlaps(tasks: Mapping[str, Sequence[Task]], where: str, content: Callable[[Task], str]) -> list[Finding]:
    findings = []
    places: dict[str, dict[str, Task]] = {}
    for split, some in tasks.items():
        ours = {content(task): task for task in some}
        for earlier, theirs in places.items():
            shared = [key for key in ours if key in theirs]
            if shared:
                pair = f"{theirs[shared[0]].id!r} and {ours[shared[0]].id!r}: {shortened(ours[shared[0]].asked, 160)}"
                title = f"{len(shared)} tasks of {split} stand in {earlier} too"
                findings.append(Finding.of("DATA-OVERLAP", title, where=where, difference=pair))
        places[split] = ours
    return findings


def _near(tasks: Mapping[str, Sequence[Task]], where: str) -> list[Finding]:
    every = [(split, task) for split, some in tasks.items() for task in some]
    names = list(tasks)
    texts = _own_words([task for _, task in every])
    pairs = near_duplicates(texts, [names.index(split) for split, _ in every], threshold=ALIKE)
    by_splits: dict[tuple[str, str], list[tuple[float, Task, Task]]] = {}
    for pair in pairs:
        (split, first), (later_split, second) = every[pair.first], every[pair.second]
        if normalized(first.asked) != normalized(second.asked):
            by_splits.setdefault((split, later_split), []).append((pair.similarity, first, second))
    findings = []
    for (split, later_split), alike in by_splits.items():
        alike.sort(key=lambda each: -each[0])
        same = [each for each in alike if _label(each[1]) == _label(each[2])]
        similarity, first, second = (same or alike)[0]
        templated = _templated(tasks[split])
        title = f"{len(alike)} tasks of {later_split} are nearly the same as one of {split}"
        title += f" ({len(same)} with the same label)"
        if templated:
            title += "; so are tasks within one split: they are made from a template, and only a person can tell"
        evidence = f"-{first.id!r}: {shortened(first.asked, 240)}\n+{second.id!r}: {shortened(second.asked, 240)}"
        findings.append(
            Finding.of(
                "DATA-NEAR",
                title,
                where=where,
                difference=f"{evidence}\n{similarity:.0%} in common",
                severity="fail" if same and not templated else "warn",
            )
        )
    return findings


def _templated(tasks: Sequence[Task]) -> bool:
    some = _own_words(tasks[:SAMPLED])
    pairs = near_duplicates(some, range(len(some)), threshold=ALIKE)
    return len({place for pair in pairs for place in (pair.first, pair.second)}) > TEMPLATED * len(some)


def _duplicates(tasks: Mapping[str, Sequence[Task]], where: str, content: Callable[[Task], str]) -> list[Finding]:
    findings = []
    for split, some in tasks.items():
        counted = Counter(map(content, some))
        twice = [text for text, count in counted.items() if count > 1]
        if twice:
            ids = [task.id for task in some if content(task) == twice[0]]
            title = f"{len(twice)} prompts stand more than once in {split}"
            evidence = f"{', '.join(map(repr, ids[:5]))}: {shortened(twice[0], 160)}"
            findings.append(Finding.of("DATA-DUPLICATE", title, where=where, difference=evidence))
    return findings


def _labels(tasks: Mapping[str, Sequence[Task]], where: str) -> list[Finding]:
    every = [task for some in tasks.values() for task in some]
    bare = [task.id for task in every if not task.answer]
    if not bare or len(bare) == len(every):
        return []
    title = f"{len(bare)} of {len(every)} tasks have no label"
    return [Finding.of("DATA-LABEL", title, where=where, difference=f"such as {', '.join(map(repr, bare[:5]))}")]


def _leaks(tasks: Mapping[str, Sequence[Task]], where: str) -> list[Finding]:
    """Of each field, the value of the known ones that stands in the prompt: how often is that the whole label?"""
    every = [task for some in tasks.values() for task in some if task.answer]
    every = every[:: max(1, len(every) // SAMPLED)]
    if len(every) < LABELLED:
        return []
    values: dict[str, dict[str, str]] = {}
    for task in every:
        for name, value in (task.answer or {}).items():
            values.setdefault(name, {})[canonical_json_of(value)] = normalized(canonical_json_of(value))
    constant = Counter(_label(task) for task in every).most_common(1)[0][1] / len(every)
    right = [task for task in every if _read_off(task, values)]
    rate = len(right) / len(every)
    if rate <= constant + LEAKED:
        return []
    title = (
        f"the prompt alone gives the whole label of {rate:.0%} of the tasks; the most frequent label has {constant:.0%}"
    )
    evidence = f"{right[0].id!r}: {shortened(right[0].asked, 240)}\nlabel   {shortened(_label(right[0]), 160)}"
    return [Finding.of("DATA-LEAK", title, where=where, difference=evidence)]


def _read_off(task: Task, values: Mapping[str, Mapping[str, str]]) -> bool:
    prompt = f" {normalized(task.asked)} "
    for name, value in (task.answer or {}).items():
        words = [normalized(str(item)) for item in scalars(value) if not isinstance(item, bool) and item is not None]
        if not words:
            return False
        # A value that stands there beside others of its field is not given away.
        own = canonical_json_of(value)
        rivals = (word for other, word in values[name].items() if other != own and word)
        if any(f" {word} " in prompt for word in rivals) or not all(f" {word} " in prompt for word in words if word):
            return False
    return True


def _label(task: Task) -> str:
    return canonical_json_of(task.answer)


def canonical_json_of(value: object) -> str:
    """JSON of a label; its ``repr`` where it is none."""
    try:
        return canonical_json(value)
    except (TypeError, ValueError):
        return repr(value)


def unseen_in_data(tasks: Mapping[str, Sequence[Task]], batch: int | None) -> dict[str, str]:
    """Of the checks of tasks, by code."""
    unseen: dict[str, str] = {}
    labelled = sum(bool(task.answer) for some in tasks.values() for task in some)
    if sum(bool(some) for some in tasks.values()) < 2:
        unseen |= dict.fromkeys(("DATA-OVERLAP", "DATA-NEAR"), "there is only one split")
    if not any(len(some) > 1 for some in tasks.values()):
        unseen["DATA-DUPLICATE"] = "no split has two tasks"
    if batch is None:
        unseen["DATA-SMALL"] = "no recipe says how many tasks a step needs"
    elif "train" not in tasks:
        unseen["DATA-SMALL"] = "there are no training tasks"
    if not labelled:
        unseen["DATA-LABEL"] = "no task has a label"
    if labelled < LABELLED:
        unseen["DATA-LEAK"] = f"{labelled} tasks have a label, fewer than {LABELLED}"
    return unseen
