"""The page of a check: one self-contained file, for those who were not there when it ran."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from practicum.checks.catalogue import EVERY
from practicum.checks.certificate import Certificate
from practicum.checks.findings import AgentReport, Finding, JudgesReport, Note, Report, State, counted
from practicum.errors import RunError
from practicum.files import write_text
from practicum.report.sections import esc, section

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""What the page may load: nothing but its own styles. There is no script in it."""

_COLOURS = {"-": "gone", "+": "come", "@": "at"}


def write_check_page(
    path: Path,
    report: Report,
    certificate: Certificate | None = None,
    others: Sequence[JudgesReport | AgentReport] = (),
) -> None:
    """Write a check's report as one HTML file, with those on score, reward, budget, data and agent beside it.

    Raises:
        RunError: it cannot be written there.
    """
    try:
        write_text(path, check_page(report, certificate, others))
    except OSError as error:
        raise RunError(f"the page cannot be written: {error.strerror}", where=str(path), fix="name another") from error


def check_page(
    report: Report, certificate: Certificate | None = None, others: Sequence[JudgesReport | AgentReport] = ()
) -> str:
    """The page's HTML."""
    ref = report.environment
    body = "".join(
        [
            _header(report, others),
            section("Checks", _checks(report)),
            section("Findings", "".join(_finding(each) for each in report.findings)),
            *(_further(each) for each in others),
            section("Allowed", "".join(_note(note) for note in report.allowed), "Touched with a reason."),
            section("What was done", _facts(report, certificate)),
        ]
    )
    folder = files("practicum.report")
    css = "".join((folder / name).read_text(encoding="utf-8") for name in ("style.css", "check.css"))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{esc(ref.id)} {esc(ref.version)} · practicum check</title><style>{css}</style></head>"
        f"<body><main>{body}<footer>Made by practicum check.</footer></main></body></html>\n"
    )


def _header(report: Report, others: Sequence[JudgesReport | AgentReport]) -> str:
    ref = report.environment
    failed = sum(each.severity == "fail" for each in report.findings)
    warned = len(report.findings) - failed
    played = sum(report.tasks.values())
    skipped = sum(state == "skipped" for state in report.states.values())
    if report.ok:
        verdict = f"<strong class='passed'>Passed.</strong> {report.episodes} episodes of {played} tasks, every way of "
        verdict += "playing them the same." if not warned else f"playing them the same; {_count(warned, 'warning')}."
    elif not failed:
        verdict = "<strong class='failed'>Nothing was checked.</strong> No check had anything to look at."
    else:
        warnings = f" and {_count(warned, 'warning')}" if warned else ""
        verdict = (
            f"<strong class='failed'>Failed.</strong> {_count(failed, 'finding')}{warnings}: not to be trained in."
        )
    if skipped:
        verdict += f" {_count(skipped, 'check')} skipped, for want of anything to look at: neither passed nor failed."
    for other in others:
        verdict += "" if other.ok else f" <strong class='failed'>{esc(_title(other))}: not passed.</strong>"
    return (
        f"<header><h1>{esc(ref.id)} {esc(ref.version)}</h1>"
        f"<p class='subtitle'>{esc(report.target)} · {esc(ref.digest[:12])}</p>"
        f"<div class='verdict'><p>{verdict}</p></div></header>"
    )


def _checks(report: Report) -> str:
    return _table(report.states, {code: report.why_not(code) for code in report.states})


def _table(states: Mapping[str, State], reasons: Mapping[str, str]) -> str:
    """A row for each check; ``reasons`` say why some have no result."""
    rows = []
    for code, came in states.items():
        state, words = _STATES[came]
        why_not = f" ({reasons[code]})" if reasons.get(code) else ""
        rows.append(
            f"<tr><th scope='row' class='state {state}'>{esc(words)}</th>"
            f"<td><code>{esc(code)}</code></td><td>{esc(EVERY[code].title)}{esc(why_not)}</td></tr>"
        )
    heads = "".join(f"<th scope='col'>{name}</th>" for name in ("result", "code", "what is asked"))
    table = f"<thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f"<div class='wide'><table class='checks'>{table}</table></div>"


def _further(report: JudgesReport | AgentReport) -> str:
    """The checks of score, reward, budget and data, or those of an agent, with what nobody has looked at."""
    body = _table(report.states, report.skipped) + "".join(_finding(each) for each in report.findings)
    if isinstance(report, JudgesReport):
        return section(_title(report), body)
    unchecked = "".join(f"<li>{esc(what)}</li>" for what in report.unchecked)
    return section(_title(report), f"{body}<h3>Not checked</h3><ul>{unchecked}</ul>")


def _title(report: JudgesReport | AgentReport) -> str:
    return "Score, reward, budget and data" if isinstance(report, JudgesReport) else f"The agent at {report.agent}"


_STATES = {
    "fail": ("failed", "fail"),
    "warn": ("warned", "warn"),
    "ok": ("passed", "ok"),
    "skipped": ("unknown", "skipped"),
    "explained": ("unknown", "–"),
}
"""The style and the word of each state."""


def _finding(finding: Finding) -> str:
    facts = [
        ("where", f"<code>{esc(finding.where)}</code>"),
        ("why", esc(finding.why)),
        ("what to do", esc(finding.fix)),
    ]
    rows = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts if value and value != "<code></code>")
    evidence = f"<pre class='evidence'>{''.join(_lines(finding.difference))}</pre>" if finding.difference else ""
    state = "failed" if finding.severity == "fail" else "warned"
    return (
        f"<article class='finding {state}'><h3><code>{esc(finding.code)}</code> {esc(finding.what)}</h3>"
        f"{evidence}<dl>{rows}</dl></article>"
    )


def _lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        colour = _COLOURS.get(line[:1], "")
        yield f"<span class='{colour}'>{esc(line)}</span>\n" if colour else f"{esc(line)}\n"


def _note(note: Note) -> str:
    seen = "".join(f"<li><code>{esc(line)}</code></li>" for line in note.seen) or "<li>not touched</li>"
    return f"<article class='finding'><h3>{esc(note.kind)}: {esc(note.reason)}</h3><ul>{seen}</ul></article>"


def _facts(report: Report, certificate: Certificate | None) -> str:
    tasks = ", ".join(f"{count} {split}" for split, count in report.tasks.items())
    facts: list[tuple[str, Any]] = [
        ("environment", f"{report.environment.id} {report.environment.version} {report.environment.digest}"),
        ("checks", counted(report.states.values())),
        ("tasks played", tasks),
        ("episodes", report.episodes),
        ("seed", report.seed),
        ("in threads", _count(report.repetitions, "repetition")),
        ("seconds", f"{report.seconds:.1f}"),
    ]
    if report.recorded is not None:
        facts.append(("recorded", report.recorded))
    if certificate is not None:
        facts += [
            ("certificate", certificate.digest),
            ("catalogue", certificate.catalogue),
            ("made with", f"practicum {certificate.practicum}, Python {certificate.python}, {certificate.platform}"),
            ("date", certificate.date),
        ]
    return f"<dl>{''.join(f'<dt>{esc(name)}</dt><dd>{esc(value)}</dd>' for name, value in facts)}</dl>"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
