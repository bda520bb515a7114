"""Keeping secrets out of recordings: found by rule, replaced by placeholders, the same one everywhere.

A rule looks at the names of an object's members (``access_token``, ``X-Api-Key``) or at text itself (a JSON web
token), plain or in Base64. What a rule finds becomes ``<token-1>``, ``<token-2>``, …, numbered in the recording's own
order. A secret that cannot be mistaken for a word is then replaced wherever else it stands, so that an agent that is
given ``<token-1>`` by one call finds the answers of the calls that need it.
"""

import base64
import binascii
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from practicum.errors import EnvironmentFault
from practicum.services.rule import Rule, can_be_secret, name_beside

ENCODED = re.compile(r"[A-Za-z0-9+/_-]{24,8192}={0,2}")
"""What may be Base64 of text with a secret in it."""
_RUN = re.compile(r"""[^\s"'<>]+""")
_NOT_IN_NAMES = re.compile(r"[_\-\s\u200b-\u200f\u2060\ufeff]")

SHORTEST = 6
"""Characters of the shortest secret that is replaced in all texts because it is known."""

_LONG = 8

Found = tuple[str, Any]
"""Name of the rule, and the secret: text or a number."""


def default_rules() -> tuple[Rule, ...]:
    """``DEFAULT_RULES``, read when something is recorded: a recording that is only replayed needs none of it."""
    from practicum.services.secret_rules import DEFAULT_RULES

    return DEFAULT_RULES


class Redactor:
    """Finds secrets by rule and replaces them.

    Args:
        rules: In order; the first that finds a secret names it. By default ``DEFAULT_RULES``.
        known: Secrets by name that are no matter of rules: what a service is given to let us in.
    """

    def __init__(self, rules: Sequence[Rule] | None = None, known: Iterable[tuple[str, str]] = ()) -> None:
        rules = default_rules() if rules is None else rules
        self.rules = tuple(rules)
        self._keys = [(rule, re.compile(rule.key)) for rule in rules if rule.key]
        self._values = [(rule, re.compile(rule.value)) for rule in rules if rule.value]
        self._spread: dict[str, str] = {}
        self._same: dict[Any, Any] = {}
        self._numbers: dict[Found, int] = {}
        self._pattern: re.Pattern[str] | None = None
        for name, secret in known:
            if len(secret) < SHORTEST:
                raise EnvironmentFault(
                    f"a known secret has {len(secret)} characters", allowed=f"at least {SHORTEST}: it goes everywhere"
                )
            self._spread.setdefault(secret, name)

    def restart(self) -> None:
        """Number placeholders from 1 again."""
        self._numbers.clear()

    def learn(self, value: Any) -> None:
        """Remember the secrets in a value, to be replaced wherever else they stand."""
        for name, secret, spreads in self._secrets(value, ()):
            if spreads:
                self._remember(name, secret)

    def unify(self, first: Any, second: Any) -> bool:
        """Whether two values differ in secrets only; these then count as the same secret.

        A service that gives out another token each time gives the same answer in a recording.
        """
        first_secrets: list[Found] = []
        second_secrets: list[Found] = []
        if self._walked(first, (), _collected(first_secrets)) != self._walked(second, (), _collected(second_secrets)):
            return False
        for (name, before), (_, after) in zip(first_secrets, second_secrets, strict=True):
            if self._root(before) != self._root(after):
                self._same[self._root(after)] = self._root(before)
                for secret in (before, after):
                    self._remember(name, secret)
        return True

    def bare(self, value: Any) -> Any:
        """The value with a placeholder without number for every secret: equal for values that differ in secrets."""
        return self._walked(value, (), lambda name, secret: f"<{name}>" if isinstance(secret, str) else 0)

    def redacted(self, value: Any) -> Any:
        """The value with numbered placeholders; a number that is a secret becomes that of its placeholder."""
        return self._walked(value, (), self._placeholder)

    def redacted_text(self, value: Any) -> Any:
        """The value with what is known as a secret replaced in its texts; no rule looks at it."""
        return self._texts(value, self._placeholder)

    def _remember(self, name: str, secret: Any) -> None:
        if isinstance(secret, str) and _unmistakable(secret):
            known = self._spread.get(secret, name)
            # Found under two names: that of the earlier rule, whichever was met first.
            self._spread[secret] = min(known, name, key=self._rank)
            self._pattern = None

    def _rank(self, name: str) -> int:
        return next((index for index, rule in enumerate(self.rules) if rule.name == name), -1)

    def _placeholder(self, name: str, secret: Any) -> Any:
        root = self._root(secret)
        # The first rule that found it names it everywhere.
        name = self._spread.get(root, name) if isinstance(root, str) else name
        taken = sum(known == name for known, _ in self._numbers)
        number = self._numbers.setdefault((name, root), taken + 1)
        return f"<{name}-{number}>" if isinstance(secret, str) else number

    def _root(self, secret: Any) -> Any:
        while secret in self._same:
            secret = self._same[secret]
        return secret

    def _secrets(self, value: Any, under: tuple[Rule, ...]) -> Iterator[tuple[str, Any, bool]]:
        if isinstance(value, Mapping):
            for key in sorted(value):
                yield from self._secrets_in(str(key))
                yield from self._secrets(value[key], (*self._rules_within(value, key), *under))
        elif isinstance(value, list | tuple):
            for item in value:
                yield from self._secrets(item, under)
        elif (rule := _covering(under, value)) is not None:
            yield rule.name, value, rule.spreads
        elif isinstance(value, str):
            yield from self._secrets_in(value)

    def _secrets_in(self, text: str) -> Iterator[tuple[str, str, bool]]:
        for start, stop, rule in self._spans(text):
            yield rule.name, text[start:stop], rule.spreads

    def _spans(self, text: str, *, decoding: bool = True) -> Iterator[tuple[int, int, Rule]]:
        """Where in a text the rules find secrets: start, end, rule."""
        for rule, pattern in self._values:
            group = 1 if pattern.groups else 0
            for match in pattern.finditer(text):
                yield match.start(group), match.end(group), rule
        if decoding and self._values:
            for match in ENCODED.finditer(text):
                inside = next(self._spans(_decoded(match[0]), decoding=False), None)
                if inside is not None:
                    yield match.start(), match.end(), inside[2]
            for match in _RUN.finditer(text) if "%" in text else ():
                if "%" not in match[0]:
                    continue
                inside = next(self._spans(unquote(match[0]), decoding=False), None)
                if inside is not None and next(self._spans(match[0], decoding=False), None) is None:
                    yield match.start(), match.end(), inside[2]

    def _rules_within(self, around: Mapping[str, Any], key: str) -> tuple[Rule, ...]:
        """Rules for a member, by its name, and by what its neighbour calls it."""
        beside = name_beside(str(key), around)
        return (*self._rules_of(key), *(self._rules_of(beside) if beside else ()))

    def _rules_of(self, key: str) -> tuple[Rule, ...]:
        plain = _NOT_IN_NAMES.sub("", unicodedata.normalize("NFKC", str(key)).lower())
        return tuple(rule for rule, pattern in self._keys if pattern.fullmatch(plain))

    def _walked(self, value: Any, under: tuple[Rule, ...], put: Callable[[str, Any], Any]) -> Any:
        if isinstance(value, Mapping):
            return {
                self._by_value(key, put) if isinstance(key, str) else key: self._walked(
                    value[key], (*self._rules_within(value, key), *under), put
                )
                for key in sorted(value)
            }
        if isinstance(value, list | tuple):
            return [self._walked(item, under, put) for item in value]
        if (rule := _covering(under, value)) is not None:
            return put(rule.name, value)
        return self._by_value(value, put) if isinstance(value, str) else value

    def _by_value(self, text: str, put: Callable[[str, Any], Any]) -> Any:
        """Text with what is known and what the rules find replaced, from left to right."""
        spans = [(match.start(), match.end(), self._spread[match[0]]) for match in self._matches(text)]
        spans += [(start, stop, rule.name) for start, stop, rule in self._spans(text)]
        return _spliced(text, spans, put)

    def _texts(self, value: Any, put: Callable[[str, Any], Any]) -> Any:
        if isinstance(value, Mapping):
            return {self._texts(key, put): self._texts(item, put) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._texts(item, put) for item in value]
        if not isinstance(value, str):
            return value
        spans = [(match.start(), match.end(), self._spread[match[0]]) for match in self._matches(value)]
        return _spliced(value, spans, put)

    def _matches(self, text: str) -> Iterator[re.Match[str]]:
        if not self._spread:
            return iter(())
        if self._pattern is None:
            longest = sorted(self._spread, key=lambda secret: (-len(secret), secret))
            self._pattern = re.compile("|".join(map(re.escape, longest)))
        return self._pattern.finditer(text)


def _spliced(text: str, spans: list[tuple[int, int, str]], put: Callable[[str, Any], Any]) -> str:
    """Text with spans replaced; spans that overlap are one, so that no end of a secret stays."""
    merged: list[tuple[int, int, str]] = []
    for start, stop, name in sorted(spans, key=lambda span: (span[0], -span[1])):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]), merged[-1][2])
        elif stop > start:
            merged.append((start, stop, name))
    parts, end = [], 0
    for start, stop, name in merged:
        parts += [text[end:start], str(put(name, text[start:stop]))]
        end = stop
    return "".join([*parts, text[end:]])


def _collected(into: list[Found]) -> Callable[[str, Any], Any]:
    def put(name: str, secret: Any) -> Any:
        into.append((name, secret))
        return f"<{name}>" if isinstance(secret, str) else 0

    return put


def _unmistakable(secret: str) -> bool:
    """Whether no ordinary text is equal to it by chance."""
    if len(secret) < _LONG:
        return False
    mixed = re.search(r"\d", secret) and re.search(r"[^\W\d_]", secret)
    return bool(mixed) or len(secret) >= 3 * _LONG


def _covering(rules: Sequence[Rule], value: Any) -> Rule | None:
    """The first rule, from the innermost member outwards, for which the value is a secret."""
    return next((rule for rule in rules if rule.covers(value)), None) if can_be_secret(value) else None


def _decoded(text: str) -> str:
    """The text that Base64 stands for; empty where it stands for none."""
    body = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        text_within = base64.b64decode(body + "=" * (-len(body) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        return ""
    return text_within if all(character.isprintable() or character in "\r\n\t" for character in text_within) else ""
