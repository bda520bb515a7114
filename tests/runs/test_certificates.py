import json
from pathlib import Path

import pytest

from practicum.errors import LedgerError
from practicum.runs.versions import certificate_folder, read_certificates, write_certificate


def test_a_later_check_of_the_same_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    for ok in (True, False):
        path = write_certificate(tmp_path / "runs", "d" * 64, "key", {"ok": ok, "b": 1})
    write_certificate(tmp_path / "runs", "d" * 64, "other", {"ok": True})
    write_certificate(tmp_path / "runs", "e" * 64, "key", {"ok": True})
    assert path == tmp_path / "runs/.environments/certificates" / ("d" * 64) / "key.json"
    assert path.read_text(encoding="utf-8") == '{"b":1,"ok":false}\n'
    assert [content["ok"] for _, content in read_certificates(tmp_path / "runs", "d" * 64)] == [False, True]


def test_there_are_none_where_nothing_was_checked(tmp_path: Path) -> None:
    assert list(read_certificates(tmp_path / "runs", "d" * 64)) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["{", "[]", "\xff"])
def test_a_broken_one_is_named(tmp_path: Path, text: str) -> None:
    path = write_certificate(tmp_path, "d", "key", {})
    path.write_text(text, encoding="latin-1")
    with pytest.raises(LedgerError, match=r"key\.json"):
        list(read_certificates(tmp_path, "d"))


def test_what_cannot_be_written_is_said_and_leaves_the_old_one_whole(tmp_path: Path) -> None:
    path = write_certificate(tmp_path, "d", "key", {"ok": True})
    with pytest.raises(LedgerError, match="cannot be written"):
        write_certificate(tmp_path, "d", "key", {"ok": float("nan")})
    assert json.loads(path.read_text()) == {"ok": True}
    assert list(certificate_folder(tmp_path, "d").iterdir()) == [path]
    (tmp_path / "file").touch()
    with pytest.raises(LedgerError, match="where you can write"):
        write_certificate(tmp_path / "file", "d", "key", {})
