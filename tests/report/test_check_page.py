"""The page of a check says all that the report says, loads nothing, and no text from outside becomes markup."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from practicum.checks.catalogue import CHECKS
from practicum.checks.certificate import Certificate, CheckSubject
from practicum.checks.findings import Finding, Note, Report
from practicum.errors import RunError
from practicum.report.check_page import check_page, write_check_page
from practicum.trajectory import EnvironmentRef

EVIL = "</pre><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"
FINDINGS = (
    Finding.of("ENV-REPEAT", f"look {EVIL} differs", where=f"desk{EVIL}.py:3", difference=f"-red {EVIL}\n+blue\n@@ 1"),
    Finding.of("ENV-UNBOUNDED", "no maximum", severity="warn", fix="bound it"),
)
REPORT = Report(
    target=f"desk {EVIL}",
    environment=EnvironmentRef(f"desk {EVIL}", "1.0.0", "d" * 64),
    checks=tuple(code for code in CHECKS if code not in ("ENV-FIDELITY", "ENV-LEFTOVER")),
    tasks={"train": 8, "test": 4},
    episodes=24,
    seed=7,
    findings=FINDINGS,
    seconds=3.25,
    repetitions=4,
    allowed=(Note("clock", f"shown {EVIL}", (f"desk.py:9  time.time() {EVIL}",)), Note("network", "never")),
    explained={"ENV-PROCESS": "ENV-REPEAT"},
)


class Page(HTMLParser):
    """Texts, elements and rows; refuses badly nested elements."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.stack: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(html)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag != "meta":
            self.stack.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.stack and self.stack[-1] != "style":
            self.texts.append(data)
        if {"th", "td"} & set(self.stack):
            self.rows[-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())


def test_every_check_stands_with_its_result_and_the_reason_where_there_is_none() -> None:
    rows = {row[1]: (row[0], row[2]) for row in Page(check_page(REPORT)).rows[1:]}
    assert rows.keys() == CHECKS.keys()
    assert rows["ENV-REPEAT"] == ("fail", CHECKS["ENV-REPEAT"].title)
    assert rows["ENV-UNBOUNDED"][0] == "warn"
    assert rows["ENV-FAULT"][0] == "ok"
    assert rows["ENV-PROCESS"] == (
        "–",
        f"{CHECKS['ENV-PROCESS'].title} (differences that ENV-REPEAT explains: mend that first)",
    )
    assert rows["ENV-LEFTOVER"][1].endswith("(could not be checked)")
    assert rows["ENV-FIDELITY"][1].endswith("(there is no schema file of production to compare with)")


def test_findings_reasons_and_facts_are_all_there_and_no_text_becomes_markup() -> None:
    certificate = Certificate.of(REPORT, CheckSubject(), asked=8, practicum="0.1.0")
    page = Page(check_page(REPORT, certificate))
    for finding in FINDINGS:
        for said in (finding.what, finding.where, finding.why, finding.fix, *finding.difference.splitlines()):
            assert " ".join(said.split()) in page.text
    for said in (
        f"clock: shown {EVIL}",
        "never",
        "not touched",
        "8 train, 4 test",
        certificate.digest,
        "4 repetitions",
    ):
        assert said in page.text
    assert not [tag for tag, _ in page.elements if tag in ("script", "img", "link", "iframe")]
    coloured = [attrs["class"] for tag, attrs in page.elements if tag == "span"]
    assert coloured == ["gone", "come", "at"]


def test_the_verdict_counts() -> None:
    assert "Failed. 1 finding and 1 warning: not to be trained in." in Page(check_page(REPORT)).text
    passed = replace(REPORT, findings=())
    assert "Passed. 24 episodes of 12 tasks, every way of playing them the same." in Page(check_page(passed)).text
    assert "the same; 1 warning." in Page(check_page(replace(REPORT, findings=FINDINGS[1:]))).text


def test_it_is_one_file_that_loads_nothing(tmp_path: Path) -> None:
    write_check_page(tmp_path / "deep/page.html", REPORT)
    html = (tmp_path / "deep/page.html").read_text(encoding="utf-8")
    (policy,) = (attrs for tag, attrs in Page(html).elements if tag == "meta" and "http-equiv" in attrs)
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'"
    assert not re.search(r"https?://|url\(|@import|src\s*=\s*['\"]", html.replace("img src=x", ""))
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["page.html"]


def test_a_page_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="page cannot be written"):
        write_check_page(tmp_path / "file/page.html", REPORT)
