"""What attacks are made from: solved and untouched rollouts of tasks, the form of an answer, the labels' values."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from practicum.digests import canonical_json
from practicum.scoring.fields import same, strict_object
from practicum.scoring.state import leaves
from practicum.text import json_object
from practicum.trajectory import Message, Rollout, ToolCall

GUESSED_TAG = "final_output"


@dataclass(frozen=True)
class PlayedTask:
    """One task.

    Attributes:
        idle: The environment was started and left alone; the answer is empty.
        solved: The oracle's rollout; None where there is no oracle.
        every_tool: Each tool was called once, with arguments of no use, and nothing was answered.
        one_tool: One tool was called many times, and nothing was answered.
    """

    idle: Rollout
    solved: Rollout | None = None
    every_tool: Rollout | None = None
    one_tool: Rollout | None = None

    @property
    def label(self) -> Mapping[str, Any]:
        """The task's label; empty where it has none."""
        return self.idle.task.answer or {}


@dataclass(frozen=True)
class AnswerForm:
    """How a right answer is written: ``before``, a JSON object or a text, ``after``."""

    before: str
    after: str
    is_object: bool

    @property
    def tag(self) -> str:
        """The tag's name; a usual one where there is no tag."""
        found = re.search(r"<([A-Za-z_]\w*)>\s*$", self.before)
        return found[1] if found else GUESSED_TAG

    def write(self, content: Any) -> str:
        """An answer with this content: as JSON where the form is that of an object, else as text."""
        inner = json.dumps(content, ensure_ascii=False, default=_plain) if self.is_object else str(content)
        return f"{self.before}{inner}{self.after}"

    def read(self, answer: str) -> Any:
        """The content of an answer that keeps to the form strictly; None for any other."""
        text = answer.strip()
        before, after = self.before.strip(), self.after.strip()
        if not (before or after or self.is_object) or len(text) < len(before) + len(after):
            return None
        if not (text.startswith(before) and text.endswith(after)):
            return None
        inner = text[len(before) : len(text) - len(after)]
        if not self.is_object:
            return inner if before not in inner or not before else None
        return strict_object(inner)


@dataclass(frozen=True)
class Material:
    """Cases of one environment, and what is known of its answers."""

    cases: tuple[PlayedTask, ...]
    form: AnswerForm

    @property
    def by_state(self) -> bool:
        """Whether the work itself leaves its mark, so that an answer may well not matter; not where the oracle's
        answer holds the label's fields."""
        return not self.form.is_object and any(
            case.solved is not None and not _left_no_mark(case.solved, case.idle) for case in self.cases
        )

    @property
    def labels(self) -> list[Mapping[str, Any]]:
        """Different labels in the form of an answer, the most frequent first."""
        if not self.form.is_object:
            return []
        counted = Counter(canonical_json(_data(case.label)) for case in self.cases if case.label)
        return [json.loads(text) for text, _ in counted.most_common()]

    @property
    def fields(self) -> list[str]:
        """Names of all fields of all labels."""
        return list(dict.fromkeys(name for label in self.labels for name in label))

    def values(self, name: str) -> list[Any]:
        """Values of a field, the most frequent first."""
        found = [case.label[name] for case in self.cases if name in case.label]
        counted = Counter(canonical_json(_data(value)) for value in found)
        return [json.loads(text) for text, _ in counted.most_common()]

    @property
    def texts(self) -> list[str]:
        """Different contents of the oracle's answers where these are texts and all that is judged; else none."""
        if self.form.is_object or self.by_state:
            return []
        if not (self.form.before or self.form.after):
            return [answer for answer in self.answers if answer.strip()]
        return [content for content in map(self.form.read, self.answers) if content]

    @property
    def answers(self) -> list[str]:
        """Different answers of the oracle, the most frequent first."""
        return [text for text, _ in Counter(c.solved.answer for c in self.cases if c.solved).most_common()]


def material_of(cases: Sequence[PlayedTask], *, tag: str = "") -> Material:
    """Learn the form of an answer from what the oracle says; without one, from ``tag`` or the system prompt.

    Raises:
        ValueError: there are no cases.
    """
    if not cases:
        raise ValueError("attacks need at least one task")
    for case in cases:
        form = _form_of(case, case.solved.answer) if case.solved else None
        if form is not None:
            return Material(tuple(cases), form)
    if any(case.solved for case in cases):
        return Material(tuple(cases), AnswerForm("", "", False))
    told = "".join(str(message.get("content")) for message in cases[0].idle.messages)
    found = re.search(r"<([A-Za-z_]\w*)>", told)
    tag = tag or (found[1] if found else GUESSED_TAG)
    return Material(tuple(cases), AnswerForm(f"<{tag}>", f"</{tag}>", any(case.label for case in cases)))


def answered(rollout: Rollout, answer: str) -> Rollout:
    """The rollout with another final answer."""
    messages = list(rollout.messages)
    if messages and messages[-1].get("role") == "assistant" and not messages[-1].get("tool_calls"):
        messages.pop()
    return replace(rollout, messages=[*messages, {"role": "assistant", "content": answer}], ending="final")


def unanswered(rollout: Rollout) -> Rollout:
    """The rollout without its final answer: out of turns."""
    messages = list(rollout.messages)
    if messages and messages[-1].get("role") == "assistant" and not messages[-1].get("tool_calls"):
        messages.pop()
    return replace(rollout, messages=messages, ending="max_turns")


def with_call(rollout: Rollout, name: str, arguments: Mapping[str, Any], result: str) -> Rollout:
    """The rollout with one more call at its end, before any answer."""
    turn = sum(message.get("role") == "assistant" for message in rollout.messages)
    id = f"call_{turn}_0"
    call = {"id": id, "type": "function", "function": {"name": name, "arguments": json.dumps(dict(arguments))}}
    messages: list[Message] = [
        *rollout.messages,
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": id, "name": name, "content": result},
    ]
    return replace(rollout, messages=messages, tool_calls=[*rollout.tool_calls, ToolCall(id, name, arguments, result)])


def agreement(case: PlayedTask, rollout: Rollout, form: AnswerForm) -> tuple[float, bool]:
    """How much of the label a rollout really has right, read strictly; and whether its answer keeps to the form.

    What agrees is the share of the label's fields that the answer gives, or the share of the changes asked for that
    its final state shows and the untouched state does not, whichever is more. An answer equal to the oracle's own is
    right, unless the work left its mark elsewhere and the answer is plain text ("done").
    """
    content = form.read(rollout.answer)
    label = _data(case.label)
    shares = [0.0]
    if form.is_object:
        formed = content is not None and set(content) == set(label)
        if formed and label:
            shares.append(sum(same(content[name], label[name]) for name in label) / len(label))
    else:
        formed = content is not None
        if case.solved is not None and (form.before or form.after or _left_no_mark(case.solved, case.idle)):
            shares.append(float(rollout.answer.strip() == case.solved.answer.strip()))
    shares.append(_state_agreement(case, rollout))
    return max(shares), formed


def _left_no_mark(worked: Rollout, idle: Rollout) -> bool:
    """Whether the final state is the untouched one: what was done lies in the answer alone."""
    return same(_data(worked.final_state), _data(idle.final_state))


def _state_agreement(case: PlayedTask, rollout: Rollout) -> float:
    before, after = (dict(leaves(_data(each.final_state))) for each in (case.idle, rollout))
    asked = {path: value for path, value in leaves(_data(case.label)) if path not in before or before[path] != value}
    right = [path for path, value in asked.items() if path in after and same(after[path], value)]
    return len(right) / len(asked) if asked else 0.0


def _form_of(case: PlayedTask, answer: str) -> AnswerForm | None:
    start, end = answer.find("{"), answer.rfind("}") + 1
    if 0 <= start < end and case.label:
        value = json_object(answer[start:end])
        if value is not None and set(value) == set(case.label):
            return AnswerForm(answer[:start], answer[end:], True)
    found = re.fullmatch(r"\s*(<([A-Za-z_]\w*)>).*(</\2>)\s*", answer, flags=re.DOTALL)
    return AnswerForm(found[1], found[3], False) if found else None


def _data(value: Any) -> Any:
    """Plain JSON data: fixtures' read-only mappings and tuples as what they stand for."""
    if isinstance(value, Mapping):
        return {str(key): _data(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_data(item) for item in value]
    return value


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)


def scalars(value: Any) -> Iterator[Any]:
    """Every value in nested data that is neither a list nor an object."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from scalars(item)
    else:
        yield value


Kind = Literal["constant", "form", "near", "idle", "effort", "told"]
"""What earning by it means: a guess pays more than guessing may; an answer in no proper form pays; a wrong value that
looks like the right one pays; doing nothing pays; toil without a result pays; saying so pays."""

Variants = Iterable[tuple[str, Rollout]]


@dataclass(frozen=True)
class Family:
    """``make`` yields, for one task, rollouts by the name of their variant; none where it does not apply."""

    name: str
    kind: Kind
    tries: str
    make: Callable[[Material, PlayedTask], Variants]
