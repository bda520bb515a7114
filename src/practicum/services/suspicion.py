"""What no rule finds and yet looks like a secret: text as random as a key, where the words around it speak of one.

Random text alone is no reason: ids, hashes, UUIDs and pictures in Base64 are random too, and a recording is full of
them. Words alone are none either. Both together are written down only where somebody says why it is no secret.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from practicum.digests import canonical_json
from practicum.services.recording import Answer, Recording
from practicum.services.rule import name_beside

SECRET_WORDS = re.compile(
    r"(?<![a-z])(?:keys?|secrets?|creds?|credentials?|auth|authentication|pass|password|passcode|tokens?|sessions?|"
    r"cookies?|signatures?|signing|signed|private|logins?|verifier|seed|mnemonic|webhooks?|licen[cs]e|activation|"
    r"bearer|hmac|salt|nonce|vault|sso|saml|oauth|otp|mfa|totp|pin|refresh|access|invite|unlock)(?![a-z])"
)
HARMLESS_WORDS = re.compile(
    r"(?<![a-z])(?:public|primary|foreign|sort|partition|cache|idempotency|thumbprint|fingerprint|hash|digest|etag|"
    r"sha\d*|md5|checksum|commit|revision|uuid|guid|id|ids|image|picture|photo|icon|avatar|thumbnail|cursor)(?![a-z])"
)
"""Words of a member's name with which random text is what one expects."""

LEAST, MOST = 16, 512
"""Characters of what is looked at: longer random text is data, such as a picture."""
WORDS_BEFORE = 24
"""Characters before random text in which words are looked for."""
MIXED_BITS, HEX_BITS = 3.5, 3.0
"""Shannon entropy per character from which letters and digits, or hexadecimal digits, look random."""

_RUN = re.compile(r"[A-Za-z0-9+/_=~.-]{16,}")
_PART = re.compile(r"[A-Za-z0-9]+")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_HEX = re.compile(r"[0-9a-fA-F]+")


@dataclass(frozen=True)
class Suspect:
    """Text that looks like a secret; the text itself is nowhere shown.

    Attributes:
        tool: The tool in whose arguments or answer it stands.
        member: Name of the innermost object's member that holds it; empty where none does.
        length: Characters.
        bits: Shannon entropy per character.
        word: The word that speaks of a secret.
    """

    tool: str
    member: str
    length: int
    bits: float
    word: str

    @property
    def place(self) -> str:
        """Where it stands, as ``allow`` takes it."""
        return f"{self.tool}.{self.member}" if self.member else self.tool

    def __str__(self) -> str:
        return f"{self.place}: {self.length} random characters ({self.bits:.1f} bits each) where {self.word!r} stands"


def suspects(recording: Recording, allow: Mapping[str, str]) -> list[Suspect]:
    """What looks like a secret in arguments and answers, in the recording's order.

    Args:
        allow: Places, or names of members, where somebody vouches that it is none.
    """
    listed: list[Suspect] = []

    def note(suspect: Suspect, text: str) -> str:
        listed.append(suspect)
        return text

    _walk_all(recording, allow, note)
    return listed


def masked(recording: Recording, allow: Mapping[str, str]) -> Recording:
    """The recording with ``<suspect>`` for all that ``suspects`` finds."""
    return recording.with_answers(_walk_all(recording, allow, lambda suspect, text: "<suspect>"))


Put = Callable[[Suspect, str], str]
"""What stands in the place of a suspect's text."""


def _walk_all(recording: Recording, allow: Mapping[str, str], put: Put) -> dict[str, dict[str, Answer]]:
    answers: dict[str, dict[str, Answer]] = {}
    for tool, by_key in recording.answers.items():
        walk = _Walk(tool, allow, put)
        answers[tool] = {
            canonical_json(walk.value(json.loads(key), "")): Answer(
                walk.value(answer.value, ""), None if answer.error is None else walk.text(answer.error, "")
            )
            for key, answer in by_key.items()
        }
    return answers


@dataclass(frozen=True)
class _Walk:
    tool: str
    allow: Mapping[str, str]
    put: Put

    def value(self, value: Any, member: str) -> Any:
        """The value, with what ``put`` says for every suspect."""
        if isinstance(value, Mapping):
            return {
                self.text(str(key), ""): self.value(item, name_beside(str(key), value) or str(key))
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.value(item, member) for item in value]
        return self.text(value, member) if isinstance(value, str) else value

    def text(self, text: str, member: str) -> str:
        """The text, with what ``put`` says for every suspect in it."""
        parts, end = [], 0
        for match in _RUN.finditer(text):
            suspect = self._suspect(match, text, member)
            if suspect is not None:
                parts += [text[end : match.start()], self.put(suspect, match[0])]
                end = match.end()
        return "".join([*parts, text[end:]])

    def _suspect(self, match: re.Match[str], text: str, member: str) -> Suspect | None:
        run = match[0]
        if not looks_random(run) or {member, self.tool, f"{self.tool}.{member}"} & set(self.allow):
            return None
        name, before = _words(member), _words(text[max(0, match.start() - WORDS_BEFORE) : match.start()])
        if HARMLESS_WORDS.search(name) or HARMLESS_WORDS.search(before):
            return None
        spoken = SECRET_WORDS.search(before) or (SECRET_WORDS.search(name) if 2 * len(run) > len(text) else None)
        return Suspect(self.tool, member, len(run), entropy(run), spoken[0]) if spoken else None


def looks_random(text: str) -> bool:
    """Whether text is as random as a key: one long word of mixed letters and digits; no UUID, name, path or date."""
    text = text.strip("=.-_")
    if not LEAST <= len(text) <= MOST or _UUID.fullmatch(text):
        return False
    longest = max(_PART.findall(text), key=len, default="")
    mixed = re.search(r"[A-Za-z]\d|\d[A-Za-z]", longest) is not None
    if len(longest) < LEAST // 2 or not mixed:
        return False
    return entropy(text) >= (HEX_BITS if _HEX.fullmatch(text) else MIXED_BITS)


def entropy(text: str) -> float:
    """Shannon entropy of the characters, in bits per character."""
    counts = Counter(text).values()
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts) if text else 0.0


def _words(text: str) -> str:
    """A name or a phrase in lower case, words apart: ``licenseKey`` and ``LICENSE_KEY`` are "license key"."""
    return re.sub(r"[\W_]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)).lower()
