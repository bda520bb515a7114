"""Secrets are found by rule, and the same one becomes the same placeholder everywhere."""

import json

import pytest

from practicum.errors import EnvironmentFault
from practicum.services import DEFAULT_RULES, EMAILS, Redactor, Rule

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"


def redacted(*values, rules=DEFAULT_RULES, known=()):
    redactor = Redactor(rules, known)
    for value in values:
        redactor.learn(value)
    found = [redactor.redacted(value) for value in values]
    return found if len(found) > 1 else found[0]


@pytest.mark.parametrize(
    "key",
    [
        "token",
        "access_token",
        "accessToken",
        "X-Auth-Token",
        "sessionId",
        "password",
        "user_password",
        "PASSWD",
        "api_key",
        "X-Api-Key",
        "client_secret",
        "private-key",
        "Authorization",
        "proxy-authorization",
        "Cookie",
        "Set-Cookie",
        "credentials",
    ],
)
def test_members_with_telling_names_are_secrets_whatever_they_hold(key):
    found = redacted({key: "hush", "other": "kept", "deep": [{key: ["a1", {"x": "b2"}]}]})
    text = json.dumps(found)
    assert "hush" not in text
    assert "a1" not in text
    assert "b2" not in text
    assert found["other"] == "kept"


@pytest.mark.parametrize("key", ["tokens_used", "max_tokens", "keyboard", "secretary", "monkey", "passenger", "author"])
def test_members_that_only_sound_alike_are_kept(key):
    assert redacted({key: "kept"}) == {key: "kept"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"use {JWT} now", "use <jwt-1> now"),
        ("Authorization: Bearer abc123def456", "Authorization: Bearer <token-1>"),
        ("bearer certificates are accepted", "bearer certificates are accepted"),
        ("key sk-proj-4f5a6b7c8d9e0f1a2b3c", "key <secret-1>"),
        ("ghp_0123456789abcdefghij0123456789abcdef", "<secret-1>"),
        ("AKIAIOSFODNN7EXAMPLE", "<secret-1>"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "<secret-1>"),
        ("postgres://ann:hunter2@db/x", "postgres://ann:<password-1>@db/x"),
        ("https://x.example/?api_key=a1b2c3d4&page=2", "https://x.example/?api_key=<secret-1>&page=2"),
        ('{"password": "s3cr3t!!"}', '{"password": "<secret-1>"}'),
        ("password: required", "password: required"),
        ("write to ann@desk.example", "write to ann@desk.example"),
    ],
)
def test_secrets_are_found_within_text(text, expected):
    assert redacted(text) == expected


def test_mail_addresses_are_secrets_for_those_who_ask():
    assert redacted("write to ann@desk.example!", rules=[EMAILS]) == "write to <email-1>!"


def test_the_same_secret_has_the_same_placeholder_wherever_it_stands():
    login, link, other = redacted(
        {"access_token": "tok0001abc"},
        {"url": "https://x/?s=tok0001abc&s2=tok0001abc", "tok0001abc": 1, "note": "tok0001abc"},
        {"access_token": "tok0002abc", "refresh_token": "tok0001abc"},
    )
    assert login == {"access_token": "<token-1>"}
    assert link == {"<token-1>": 1, "note": "<token-1>", "url": "https://x/?s=<token-1>&s2=<token-1>"}
    assert other == {"access_token": "<token-2>", "refresh_token": "<token-1>"}


def test_a_secret_that_may_be_a_word_is_replaced_only_where_the_rule_finds_it():
    assert redacted({"password": "password", "grant_type": "password"}) == {
        "password": "<password-1>",
        "grant_type": "password",
    }
    assert redacted({"pin": 4711, "price": 4711, "token": True, "secret": None, "cookie": ""}) == {
        "pin": 1,
        "price": 4711,
        "token": True,
        "secret": None,
        "cookie": "",
    }


def test_known_secrets_are_replaced_without_any_rule():
    assert redacted("you sent k-55aa77", rules=[], known=[("secret", "k-55aa77")]) == "you sent <secret-1>"


def test_values_that_differ_in_secrets_only_are_one_and_their_secrets_too():
    redactor = Redactor()
    first = {"access_token": "tok0001abc", "user": "ann", "link": "?session=tok0001abc"}
    second = {"access_token": "tok0002abc", "user": "ann", "link": "?session=tok0002abc"}
    redactor.learn(first)
    redactor.learn(second)
    assert not redactor.unify(first, {**second, "user": "bob"})
    assert redactor.unify(first, second)
    assert redactor.redacted(first) == redactor.redacted(second)
    assert redactor.redacted("tok0002abc") == "<token-1>"


def test_an_own_rule_hides_what_only_changes():
    redactor = Redactor([Rule("time", key=".*timestamp")])
    assert redactor.unify({"timestamp": 1.5, "a": 1}, {"timestamp": 2.5, "a": 1})
    assert not redactor.unify({"timestamp": 1.5, "a": 1}, {"timestamp": 2.5, "a": 2})
    assert redactor.redacted({"timestamp": 1.5}) == redactor.redacted({"timestamp": 2.5}) == {"timestamp": 1}


def test_overlapping_finds_leave_nothing_of_either():
    rules = [Rule("a", value="abc(def1)"), Rule("b", value="def1ghi2")]
    assert redacted("abcdef1ghi2", rules=rules) == "abc<b-1>"
    assert redacted("abcdefg", rules=[Rule("a", value="bcd"), Rule("b", value="def")]) == "a<a-1>g"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "x", "key": "("}, "no regular expression"),
        ({"name": "x"}, "is no rule"),
        ({"name": "x", "key": "a", "value": "b"}, "is no rule"),
        ({"name": "a b", "key": "a"}, "is no rule"),
        ({"name": "<x", "key": "a"}, "is no rule"),
    ],
)
def test_rules_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(EnvironmentFault, match=message):
        Rule(**arguments)
