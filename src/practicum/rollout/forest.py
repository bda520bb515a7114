"""The open sequences of one trajectory, and which of them a request continues.

Requests are compared with all sequences at once, by digests: of messages, to find whose tokens can be carried on as
they are, and of tokens, which decide. The work is that of reading the request, however many sequences are open.
"""

import hashlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from practicum.chat import Message, json_key, message_key


@dataclass(frozen=True)
class Conversation:
    """A request's messages and tools, with the keys by which they are compared."""

    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...]
    keys: tuple[str, ...]
    tools_key: str

    @classmethod
    def of(cls, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> "Conversation":
        """Raises what ``message_key`` raises for a message that is none."""
        return cls(tuple(messages), tuple(tools), tuple(map(message_key, messages)), json_key(list(tools)))

    def with_answer(self, answer: Message) -> "Conversation":
        """The conversation after the model has answered."""
        return Conversation((*self.messages, answer), self.tools, (*self.keys, message_key(answer)), self.tools_key)

    def digests(self) -> list[bytes]:
        """Of the tools with the first message, with the first two, and so on."""
        return _chain([self.tools_key.encode(), *(key.encode() for key in self.keys)])[1:]


@dataclass(eq=False)
class OpenSequence:
    """One sequence: its tokens, and the conversation they tell, the last answer included."""

    number: int
    of_sub_agent: bool = False
    tokens: list[int] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    keys: tuple[str, ...] = ()
    tools_key: str = ""
    telling: bytes = b""
    """Digest of the conversation."""
    ending: bytes = b""
    """Digest of the tokens."""
    answers: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Where in ``tokens`` each sampled message begins and ends, by its place in ``messages``."""

    @property
    def prompt_length(self) -> int:
        """Tokens before the last answer."""
        return self.answers[len(self.messages) - 1][0]

    @property
    def opening(self) -> int:
        """Messages before the first answer."""
        return min(self.answers)

    def retold(self, conversation: Conversation) -> list[Message]:
        """A conversation's messages, its tool calls under the ids that they have in this one."""
        names: dict[str, str] = {}
        for ours, theirs in zip(self.messages, conversation.messages, strict=False):
            calls = zip(ours.get("tool_calls") or (), theirs.get("tool_calls") or (), strict=False)
            names |= {str(their.get("id")): str(our.get("id")) for our, their in calls}
        return [_renamed(message, names) for message in conversation.messages]

    def news(self, conversation: Conversation) -> list[Message]:
        """What a conversation adds to this one."""
        return self.retold(conversation)[len(self.messages) :]


class Forest:
    """The open sequences, found by what they tell and by their tokens."""

    def __init__(self) -> None:
        self.sequences: list[OpenSequence] = []
        self._telling: dict[bytes, list[OpenSequence]] = {}
        """By the digest of what they tell."""
        self._ending: dict[int, dict[bytes, list[OpenSequence]]] = {}
        """By their length and the digest of their tokens."""

    def told_by(self, conversation: Conversation) -> Iterator[OpenSequence]:
        """Sequences that a request's messages go on from, the longest conversation first."""
        for digest in reversed(conversation.digests()[:-1]):
            for sequence in sorted(self._telling.get(digest, ()), key=lambda sequence: -len(sequence.tokens)):
                if not _reasons_otherwise(conversation.messages, sequence.messages):
                    yield sequence

    def prefix_of(self, ids: Sequence[int]) -> OpenSequence | None:
        """The sequence whose tokens are the longest exact prefix of ``ids``."""
        lengths = [length for length in sorted(self._ending) if length <= len(ids)]
        parts = [_packed(ids[start:end]) for start, end in pairwise([0, *lengths])]
        ends = [self._ending[length].get(digest) for length, digest in zip(lengths, _chain(parts), strict=True)]
        return next((sequences[0] for sequences in reversed(ends) if sequences), None)

    def begin(self, *, of_sub_agent: bool = False) -> OpenSequence:
        """Another sequence, empty as yet."""
        sequence = OpenSequence(len(self.sequences), of_sub_agent)
        self.sequences.append(sequence)
        return sequence

    def grow(
        self,
        sequence: OpenSequence,
        conversation: Conversation,
        prompt_ids: Sequence[int],
        action_ids: Sequence[int],
        answer: Message,
    ) -> None:
        """Add a turn to a sequence whose tokens are a prefix of ``prompt_ids``."""
        if sequence.tokens:
            self._unindex(sequence)
        place = len(conversation.messages)
        sequence.messages = [*sequence.messages[:place], *sequence.news(conversation), answer]
        told = conversation.with_answer(answer)
        sequence.keys, sequence.telling = told.keys, told.digests()[-1]
        sequence.tools_key = told.tools_key
        sequence.tokens = [*prompt_ids, *action_ids]
        spans = {at: span for at, span in sequence.answers.items() if at < place}
        sequence.answers = {**spans, place: (len(prompt_ids), len(sequence.tokens))}
        sequence.ending = _chain([_packed(sequence.tokens)])[-1]
        self._telling.setdefault(sequence.telling, []).append(sequence)
        self._ending.setdefault(len(sequence.tokens), {}).setdefault(sequence.ending, []).append(sequence)

    def _unindex(self, sequence: OpenSequence) -> None:
        length = len(sequence.tokens)
        of_length = self._ending[length]
        for index, digest in ((self._telling, sequence.telling), (of_length, sequence.ending)):
            index[digest].remove(sequence)
            if not index[digest]:
                del index[digest]
        if not of_length:
            del self._ending[length]


def _chain(parts: Sequence[bytes]) -> list[bytes]:
    """Digest of all parts up to each of them."""
    hashed, digests = hashlib.blake2b(), []
    for part in parts:
        hashed.update(part)
        digests.append(hashed.copy().digest())
    return digests


def _packed(ids: Sequence[int]) -> bytes:
    return array("q", ids).tobytes()


def _renamed(message: Message, names: Mapping[str, str]) -> Message:
    if message.get("tool_call_id") in names:
        return {**message, "tool_call_id": names[message["tool_call_id"]]}
    calls = message.get("tool_calls") or ()
    if any(call.get("id") in names for call in calls):
        return {**message, "tool_calls": [{**call, "id": names.get(call.get("id"), call.get("id"))} for call in calls]}
    return message


def _reasons_otherwise(messages: Sequence[Message], told: Sequence[Message]) -> bool:
    """Whether a client sends back other reasoning than the model's; most send none."""
    pairs = zip(messages, told, strict=False)
    return any(
        theirs["reasoning_content"].strip() != str(ours.get("reasoning_content") or "").strip()
        for theirs, ours in pairs
        if theirs.get("reasoning_content")
    )
