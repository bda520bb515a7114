"""Why a request continues no open sequence of its trajectory.

Told from messages alone, so the border between a conversation of its own and what a summary left of one is a matter of
signs: instructions, an earlier answer among the messages, words quoted, the word summary. The cause is for people to
read; nothing that is trained on depends on it.
"""

import re
from collections.abc import Callable, Sequence

from practicum.chat import text_of
from practicum.rollout.forest import Conversation, OpenSequence
from practicum.trajectory import BreakCause, common_prefix

QUOTED = 8
"""Characters from which an earlier message's words in a new one are taken for a quotation."""
_SEARCHED = 100
"""So many earlier texts are looked for, the last ones: each is compared with all that is new."""

_SUMMARY = re.compile(r"\bsummar(y|ies|i[sz]ed)\b|\bso far\b|\b(earlier|previous) conversation\b", re.IGNORECASE)

Retold = Callable[[OpenSequence], BreakCause]
"""Why a renderer tells a conversation in other tokens than those that were sampled."""


def break_cause(
    conversation: Conversation, sequences: Sequence[OpenSequence], retold: Retold
) -> tuple[BreakCause, OpenSequence]:
    """The cause, and the sequence that the request is nearest to: the one it shares most messages with."""
    shared = {sequence.number: common_prefix(sequence.keys, conversation.keys) for sequence in sequences}

    def nearness(sequence: OpenSequence) -> tuple[int, bool, bool, int]:
        whole = shared[sequence.number] == len(sequence.keys)
        return shared[sequence.number], whole, sequence.tools_key == conversation.tools_key, sequence.number

    nearest = max(sequences, key=nearness)
    common = shared[nearest.number]
    if common == min(len(nearest.keys), len(conversation.keys)):
        return _same_history(conversation, nearest, common, retold), nearest
    if common >= nearest.opening:
        edited = any(message.get("role") == "assistant" for message in conversation.messages[common:])
        summary = edited or _summarises(conversation, common, nearest)
        return "rewritten_history" if summary else "parallel_branch", nearest
    answers = {sequence.keys[place] for sequence in sequences for place in sequence.answers}
    if not answers.isdisjoint(conversation.keys[common:]):
        return "rewritten_history", nearest
    return _other_conversation(conversation, nearest, common), nearest


def _same_history(conversation: Conversation, nearest: OpenSequence, common: int, retold: Retold) -> BreakCause:
    """Of a request that goes on from all that a sequence tells, or asks for an answer to a part of it again."""
    if nearest.tools_key != conversation.tools_key:
        return "tools_changed"
    return retold(nearest) if common < len(conversation.keys) else "parallel_branch"


def _other_conversation(conversation: Conversation, nearest: OpenSequence, common: int) -> BreakCause:
    """Of a request that shares instructions with a sequence at most, and none of its answers."""
    if not common:
        return _opening(conversation, nearest)
    if _summarises(conversation, common, nearest):
        return "rewritten_history"
    return "sub_agent" if nearest.of_sub_agent else "parallel_branch"


def _opening(conversation: Conversation, nearest: OpenSequence) -> BreakCause:
    """Of a request that shares nothing: a conversation of its own, or what a summary left of one.

    A conversation of its own opens with instructions and a request. Where a history has been condensed, instructions
    are gone and several messages of the user's stand in a row, or a message quotes what was said.
    """
    roles = [message.get("role") for message in conversation.messages]
    if roles[0] == "system":
        return "sub_agent"
    if roles[0] != "user":
        return "other"
    instructed = nearest.messages[0].get("role") == "system"
    condensed = len(roles) > 1 and set(roles) == {"user"}
    summary = not instructed and _summarises(conversation, 0, nearest)
    return "rewritten_history" if condensed or summary else "sub_agent"


def _summarises(conversation: Conversation, start: int, sequence: OpenSequence) -> bool:
    """Whether new messages of the user's stand for history: they say so, or quote an answer or the first request."""
    requests = (place for place in range(sequence.opening) if sequence.messages[place].get("role") == "user")
    words = [text_of(sequence.messages[place]).strip() for place in (*requests, *sequence.answers)]
    new = [text_of(message) for message in conversation.messages[start:] if message.get("role") in ("user", "system")]
    worth_quoting = [text for text in words if len(text) >= QUOTED][-_SEARCHED:]
    quoted = any(text in said for text in worth_quoting for said in new)
    return quoted or any(_SUMMARY.search(said) for said in new)
