"""What no rule finds and yet looks like a secret is not written down, unless somebody vouches for it."""

import base64
import hashlib
import json
import random
import uuid

import pytest

from practicum.commands import app
from practicum.commands.record import record_command
from practicum.errors import EnvironmentFault
from practicum.services import CallableSource, Recorder, Recording
from practicum.services.suspicion import looks_random

RANDOM = "q7Zp3Lk9Vx2Nt8Rw5Yb1"


def recorder(answer, path, **more):
    def get_user(user: str) -> dict:
        """A user."""
        return answer

    record = Recorder(CallableSource([get_user]), path, **more)
    record.calls([("get_user", {"user": "ann"})])
    return record


SUSPECT = {
    "by its member": {"activation": RANDOM},
    "by a part of the name": {"vaultEntry": RANDOM},
    "deep": {"profile": [{"login_link": RANDOM}]},
    "by the words before": {"note": f"her invite is {RANDOM}"},
    "in an address": {"webhook_url": f"https://h.example/{RANDOM}{RANDOM}"},
    "hexadecimal": {"salt": hashlib.sha256(b"s").hexdigest()},
}


@pytest.mark.parametrize("answer", SUSPECT.values(), ids=SUSPECT)
def test_random_text_where_words_speak_of_a_secret_is_refused_and_nowhere_written(answer, tmp_path):
    path = tmp_path / "users.json"
    record = recorder(answer, path)
    with pytest.raises(EnvironmentFault, match="looks like a secret") as error:
        record.save(path)
    assert not path.exists()
    partial = (tmp_path / "users.partial.json").read_text()
    for secret in (RANDOM, hashlib.sha256(b"s").hexdigest()):
        assert secret not in str(error.value)
        assert secret not in partial
    assert "<suspect>" in partial
    assert "--allow 'get_user." in str(error.value)


@pytest.mark.parametrize("place", ["get_user.activation", "activation", "get_user"])
def test_what_somebody_vouches_for_is_written_with_the_reason(place, tmp_path):
    path = tmp_path / "users.json"
    recorder({"activation": RANDOM}, path, allow={place: "a public product number"}).save(path)
    again = Recording.load(path)
    assert again.answer("get_user", {"user": "ann"}) == {"activation": RANDOM}
    assert again.allowed == {place: "a public product number"}


def test_vouching_for_one_place_says_nothing_of_another(tmp_path):
    record = recorder({"activation": RANDOM, "invite": RANDOM}, tmp_path / "users.json", allow={"activation": "public"})
    with pytest.raises(EnvironmentFault) as error:
        record.save(tmp_path / "users.json")
    assert "get_user.invite" in error.value.what
    assert "get_user.activation" not in error.value.what


R = random.Random(3)
ORDINARY = {
    "ids": {"id": "507f1f77bcf86cd799439011", "user_id": RANDOM, "uuid": str(uuid.UUID(int=R.getrandbits(128)))},
    "hashes": {"sha256": hashlib.sha256(b"a").hexdigest(), "etag": hashlib.md5(b"a").hexdigest()},
    "a hash of a key": {"public_key_fingerprint": hashlib.sha256(b"k").hexdigest()},
    "a session's uuid in words": {"note": f"login {uuid.UUID(int=R.getrandbits(128))}"},
    "a key that is a path": {"cache_key": f"a/{RANDOM}"},
    "names under a key": {"keys": ["user_profile_settings_v2_2024", "PROJ-1234567890123456"]},
    "a picture": {"login_image": base64.b64encode(b"\x89PNG\r\n\x1a\n" + R.randbytes(900)).decode()},
    "a small picture under a name that speaks": {"pass": base64.b64encode(R.randbytes(900)).decode()},
    "random text alone": {"value": RANDOM, "note": f"see {RANDOM} for more"},
    "words": {"login": "the quick brown fox jumps over the lazy dog", "auth": "authorization-code-with-pkce"},
    "times": {"last_login": "2026-11-30T18:00:00.123456+00:00", "session": "2026-11-30T18:00Z/PT30M"},
    "numbers": {"pin": "", "access": 12345678901234567890},
}


@pytest.mark.parametrize("answer", ORDINARY.values(), ids=ORDINARY)
def test_ordinary_data_is_recorded_without_a_word(answer, tmp_path):
    path = tmp_path / "users.json"
    recorder(answer, path).save(path)
    assert json.loads(path.read_text())["calls"][0]["result"] == answer


@pytest.mark.parametrize("text", ["a" * 40, "0" * 40, "user_profile_settings_v2", "2026-11-30T18:00:00.123456", "x1"])
def test_repeated_characters_names_and_dates_are_not_random(text):
    assert not looks_random(text)


@pytest.mark.parametrize("text", ["activation", "activation:", ":why", " : "])
def test_vouching_needs_a_place_and_a_reason(text, tmp_path):
    calls = tmp_path / "calls.jsonl"
    calls.write_text("{}\n")
    with pytest.raises(EnvironmentFault, match="gives no reason"):
        record_command("python", "json:loads", calls, tmp_path / "out.json", allow=[text])


def test_the_command_takes_reasons(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    (tmp_path / "vault_service.py").write_text(
        f'def entry(name: str) -> dict:\n    """An entry."""\n    return {{"activation": "{RANDOM}"}}\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    calls = tmp_path / "calls.jsonl"
    calls.write_text('{"tool": "entry", "arguments": {"name": "a"}}\n')
    command = ["record", "python", "vault_service", "--calls", str(calls), "--out", str(tmp_path / "out.json")]
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code != 0
    assert not (tmp_path / "out.json").exists()
    taken = CliRunner().invoke(app, [*command, "--allow", "entry.activation: printed on the box"])
    assert taken.exit_code == 0
    assert "printed on the box" in (tmp_path / "out.json").read_text()
