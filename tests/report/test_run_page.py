import json
import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser

import plotly.graph_objects as go
import pytest

from practicum.digests import digest
from practicum.report.charts import curve_charts
from practicum.report.run_page import write_report
from practicum.runs.events import EventLog
from practicum.runs.manifest import Machine, Manifest, write_manifest
from practicum.store import write_trajectories
from practicum.trajectory import EnvironmentRef, ToolCall, Trajectory, Turn

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"
REF = EnvironmentRef("support-desk", "1.0.0", "e" * 64)
VOID = {"meta", "br", "img", "hr", "input", "link"}


class Page(HTMLParser):
    """Collects what the tests ask about and refuses badly nested elements."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.stack, self.elements, self.texts, self.scripts = [], [], [], {}
        self.rows = []
        self.feed(text)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        opened, _ = self.stack.pop()
        assert opened == tag, f"<{opened}> is closed by </{tag}>"

    def handle_data(self, data):
        tag, attrs = self.stack[-1] if self.stack else ("", {})
        if tag == "script":
            key = attrs.get("id", "code")
            self.scripts[key] = self.scripts.get(key, "") + data
        elif tag != "style":
            self.texts.append(data)
            if any(opened in ("td", "th") for opened, _ in self.stack):
                self.rows[-1][-1] += data

    @property
    def text(self):
        return "\n".join(self.texts)


def evaluation(label, mode, rate, **changes):
    values = {
        "label": label,
        "mode": mode,
        "split": "test",
        "n_tasks": 50,
        "n_rollouts": 200,
        "attempts": 207,
        "failures": {"policy": 3, "infrastructure": 1},
        "successes": round(200 * rate),
        "success_rate": rate,
        "interval": [max(0.0, rate - 0.06), min(1.0, rate + 0.06)],
        "field_accuracy": {"severity": 0.5, "team <b>": 0.25},
        "completion_rate": 0.9,
        "pass_at": {"1": rate, "4": min(1.0, rate + 0.2)},
        "pass_power": {"4": rate / 2},
        "reward_mean": rate,
        "tokens_per_rollout": 123.4,
        "seconds": 61.0,
        "tool_calls": {"look_up": 400},
        "environment": {"id": REF.id, "version": REF.version, "digest": REF.digest},
        "split_digest": "d" * 64,
    }
    return {**values, **changes}


def trajectory(id, task, score, **changes):
    turns = (
        Turn(
            messages=(
                {"role": "system", "content": "Be brief. " * 100},
                {"role": "user", "content": f"Ask {EVIL}"},
            ),
            response={"role": "assistant", "content": "I look it up."},
            context_ids=(1, 2, 3),
            action_ids=(4,),
            logprobs=(-0.1,),
            versions=(0,),
            finish_reason="tool_calls",
        ),
        Turn(
            messages=({"role": "tool", "content": "severity is high"},),
            response={"role": "assistant", "content": f"The answer of {id}."},
            context_ids=(5,),
            action_ids=(6, 7),
            logprobs=(-0.1, -0.2),
            versions=(0, 0),
            finish_reason="length",
        ),
    )
    calls = (ToolCall("c1", "look_up", {"ticket": "<T-1>"}, "severity is high", False, 0, 0.012),)
    values = {
        "id": id,
        "task_id": task,
        "group_id": task,
        "seed": 0,
        "environment": REF,
        "turns": turns,
        "tool_calls": calls,
        "ending": "final",
        "rewards": (score,),
        "score": score,
        "metrics": {"format": 0.1},
    }
    return Trajectory(**{**values, **changes})


def write_evaluations(run, *evaluations):
    (run / "evaluations").mkdir()
    for e in evaluations:
        (run / "evaluations" / f"{e['label']}-{e['mode']}.json").write_text(json.dumps(e))


def write_metrics(run, steps=5):
    lines = []
    for step in range(1, steps + 1):
        metrics = {
            "rollout/reward/mean": step / 10,
            "rollout/reward/valid_mean": step / 9,
            "analysis/zero_adv_zero_reward": 2.0,
            "analysis/zero_adv_nonzero_reward": 1.0,
            "training/logprob_diff": 0.001,
            "training/grad_norm": 1.5,
            "training/staleness_mean": 0.0,
            "training/staleness_max": 0.0,
            "timing_s/rollout": 8.0,
            "timing_s/training": 3.0,
            **({"val/score/mean": 0.4} if step % 2 else {}),
        }
        lines.append(json.dumps({"step": step, "time": 10.0 * step, "phase": "rl", "metrics": metrics}))
    (run / "metrics.jsonl").write_text("".join(line + "\n" for line in lines))


@pytest.fixture
def run(tmp_path):
    """A whole run, as training leaves it."""
    folder = tmp_path / "first <try>"
    folder.mkdir()
    write_evaluations(
        folder,
        evaluation("trained", "sampled", 0.6),
        evaluation("trained", "greedy", 0.66),
        evaluation("base", "sampled", 0.1),
        evaluation("base", "greedy", 0.62),
        evaluation("foothold", "sampled", 0.2),
    )
    write_metrics(folder)
    machine = Machine("3.11.7", "Linux", 2, {"torch": "2.13.0", "zzz": "1"}, {"commit": "c0ffee", "changed": True})
    data = {"train": {"name": "train.jsonl", "tasks": 100, "digest": "a" * 64}}
    recipe = {"group_size": 8}
    model = {"name": f"smol {EVIL}", "digest": "f" * 64}
    made = Manifest(REF, {"look_up": "b" * 64}, {"run": 7}, data, "r" * 64, "s" * 64, recipe, model, "t", machine)
    write_manifest(folder, made)
    with EventLog(folder / "events.jsonl") as log:
        log.append("start")
        log.append("stop")
    kept = folder / "trajectories"
    before = [trajectory("base-1", "task-1", 1.0), trajectory("base-2", "task-2", 0.0)]
    after = [trajectory("trained-2", "task-2", 1.0), trajectory("trained-1", "task-1", 1.0)]
    write_trajectories(kept / "eval-base-sampled.parquet", before)
    write_trajectories(kept / "eval-trained-sampled.parquet", after)
    (folder / "mlflow.db").write_bytes(b"")
    return folder


def page(folder, *commands):
    path = write_report(folder, commands)
    assert path == folder / "report.html"
    return Page(path.read_text(encoding="utf-8"))


def headings(made):
    return [text for text in made.texts if text in SECTIONS]


SECTIONS = (
    "Held-out tasks",
    "Course of training",
    "One task, before and after",
    "Where it comes from",
    "What next",
    "What could not be read",
)


def test_a_whole_run_has_every_part_and_nothing_unreadable(run):
    made = page(run)
    assert headings(made) == list(SECTIONS[:-1])
    assert "first <try>" in made.texts
    assert "finished" in made.text


def page_after(folder, kinds):
    with EventLog(folder / "events.jsonl") as log:
        for kind in kinds:
            log.append(kind)
    return write_report(folder).read_text()


@pytest.mark.parametrize(
    ("later", "state"),
    [
        ((), "finished"),
        (("evaluation", "promote"), "finished"),
        (("resume",), "under way or interrupted"),
        (("resume", "error"), "ended with an error"),
        (("error",), "finished"),
        (("resume", "error", "evaluation"), "ended with an error"),
    ],
)
def test_a_run_that_has_ended_is_not_under_way_again_because_it_was_evaluated(run, later, state):
    assert f"<p class='subtitle'>{state}" in page_after(run, later)


@pytest.mark.parametrize(
    ("kinds", "state"),
    [
        (("start", "evaluation"), "not trained yet"),
        (("start", "error"), "not trained yet, ended with an error"),
        (("start", "error", "warmstart", "evaluation"), "not trained yet"),
        (("start", "check", "evaluation"), "under way or interrupted"),
        (("start", "check", "error"), "ended with an error"),
    ],
)
def test_a_run_that_was_only_evaluated_is_not_under_way(tmp_path, kinds, state):
    assert f"<p class='subtitle'>{state} · begun" in page_after(tmp_path, kinds)


def test_the_page_needs_no_network(run):
    made = page(run)
    for tag, attrs in made.elements:
        assert tag not in ("link", "iframe", "img")
        assert "src" not in attrs
        assert "href" not in attrs
    policy = next(a["content"] for _, a in made.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert sum("plotly.js v" in code[:200] for code in made.scripts.values()) == 1


def test_the_table_has_a_row_per_evaluation_in_the_order_of_the_run(run):
    made = page(run)
    head, *rows = made.rows[:6]
    assert made.rows[6][:3] == ["model", "sampling", "completed"]
    assert [row[:2] for row in rows] == [row[:2] for row in made.rows[7:12]]
    assert [row[:2] for row in rows] == [
        ["base", "sampled"],
        ["base", "greedy"],
        ["foothold", "sampled"],
        ["trained", "sampled"],
        ["trained", "greedy"],
    ]
    assert rows[0][2:5] == ["10.0%", "4.0% – 16.0%", "20 / 200"]
    assert dict(zip(head, rows[3], strict=True))["attempts"] == "207"
    assert dict(zip(head, rows[3], strict=True))["failed"] == "3 policy, 1 infrastructure"
    assert dict(zip(head, rows[3], strict=True))["pass@4"] == "80.0%"
    assert dict(zip(head, rows[3], strict=True))["pass^4"] == "30.0%"
    assert dict(zip(head, rows[3], strict=True))["field team <b>"] == "25.0%"
    assert "out of turns" not in head


def test_the_verdict_says_what_the_intervals_allow(run):
    text = re.sub(r"\s+", " ", page(run).text)
    sampled, greedy = text.index("Sampled:"), text.index("Greedy:")
    assert "do not overlap" in text[sampled:greedy]
    assert "intervals overlap" in text[greedy : greedy + 200]


def test_evaluations_on_other_tasks_are_not_compared(tmp_path):
    write_evaluations(
        tmp_path,
        evaluation("base", "sampled", 0.1),
        evaluation("trained", "sampled", 0.9, split_digest="other"),
    )
    text = page(tmp_path).text
    assert "cannot be compared" in text
    assert "overlap" not in text


def test_the_first_figure_shows_rates_with_their_intervals(run):
    made = page(run)
    figure = json.loads(made.scripts["figure-0"])
    sampled, greedy = figure["data"]
    assert (sampled["name"], greedy["name"]) == ("sampled", "greedy")
    assert sampled["x"] == [0.1, 0.2, 0.6]
    assert sampled["error_x"]["array"] == pytest.approx([0.06] * 3)
    assert sampled["error_x"]["arrayminus"] == pytest.approx([0.06] * 3)
    assert figure["layout"]["yaxis"]["ticktext"] == ["base", "foothold", "trained"]


def test_every_figure_has_its_place_and_data(run):
    made = page(run)
    places = [attrs["data-figure"] for _, attrs in made.elements if "data-figure" in attrs]
    assert places == [name for name in made.scripts if name.startswith("figure-")]
    traces = {t["name"]: t for name in places for t in json.loads(made.scripts[name])["data"]}
    assert traces["reward mean"]["y"] == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert traces["score mean"]["x"] == [1, 3, 5]
    expected = {"zero adv zero reward", "logprob diff", "grad norm", "staleness max", "rollout", "training"}
    assert expected <= traces.keys()


def test_plotly_accepts_every_figure(run):
    made = page(run)
    codes = [code for name, code in made.scripts.items() if name.startswith("figure-")]
    for code in codes:
        figure = json.loads(re.sub(r"var\(--\w+\)", "#123456", code))
        go.Figure(figure["data"], figure["layout"])
    assert len(codes) == 9


def test_colours_are_defined_for_light_and_for_dark(run):
    text = write_report(run).read_text(encoding="utf-8")
    used = set(re.findall(r"var\((--\w+)\)", text.partition("plotly.js v")[0]))
    light, dark = re.findall(r":root \{(.*?)\}", text, flags=re.DOTALL)
    for theme in (light, dark):
        assert used <= set(re.findall(r"(--\w+):", theme))


def test_phases_are_drawn_apart(tmp_path):
    rows = [
        {"step": 1, "time": 1.0, "phase": phase, "metrics": {"training/grad_norm": 1.0}} for phase in ("foothold", "rl")
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    figure = json.loads(page(tmp_path).scripts["figure-0"])
    assert [trace["name"] for trace in figure["data"]] == ["grad norm (foothold)", "grad norm (rl)"]


def test_the_rollouts_shown_are_of_the_task_that_was_learnt(run):
    text = page(run).text
    assert "The answer of base-2." in text
    assert "The answer of trained-2." in text
    assert "The answer of base-1." not in text
    assert "task-2" in text


def test_a_rollout_is_shown_turn_by_turn_with_its_tool_calls_once(run):
    text = page(run).text
    turns = text[text.index("eval-base-sampled") : text.index("eval-trained-sampled")]
    order = [
        "system",
        "I look it up.",
        "look_up · 12 ms",
        '{"ticket": "<T-1>"}',
        "severity is high",
        "The answer",
    ]
    places = [turns.index(part) for part in order]
    assert places == sorted(places)
    assert turns.count("severity is high") == 1
    assert "turn 2 · 1 tokens in, 2 out · cut off" in turns


def test_texts_from_outside_stay_text(run):
    made = page(run)
    assert f"Ask {EVIL}" in made.texts
    assert any(f"smol {EVIL}" in text for text in made.texts)
    assert [attrs for tag, attrs in made.elements if tag == "img" or "onerror" in attrs] == []
    assert not [code for code in made.scripts.values() if code.startswith("alert")]


def test_provenance_names_digests_and_the_state_of_the_code(run):
    text = page(run).text
    for expected in (
        "e" * 64,
        "a" * 64,
        "b" * 64,
        "r" * 64,
        digest({"group_size": 8}),
        "c0ffee with changes",
    ):
        assert expected in text
    assert "torch 2.13.0" in text
    assert "zzz" not in text
    assert "2 events, chain whole" in text


def test_commands_can_be_run_as_they_stand(run):
    made = page(run, ("Prove that nothing was altered", "practicum verify 'runs/a'"))
    codes = [text for text in made.texts if re.match(r"\S*(practicum|mlflow|python) ", text)]
    assert codes[0] == "practicum verify 'runs/a'"
    assert shlex.split(codes[1])[-1] == f"sqlite:///{run}/mlflow.db"
    _, flag, code = shlex.split(codes[2])
    done = subprocess.run([sys.executable, flag, code], capture_output=True, text=True, check=True)
    assert "task-2" in done.stdout


def test_an_empty_folder_gives_a_page_that_says_little(tmp_path):
    made = page(tmp_path)
    assert headings(made) == []
    assert made.scripts == {}


@pytest.mark.parametrize("part", ["evaluations", "metrics.jsonl", "manifest.json", "events.jsonl", "trajectories"])
def test_any_part_may_be_missing(run, part):
    path = run / part
    if path.is_dir():
        for child in path.iterdir():
            child.unlink()
        path.rmdir()
    else:
        path.unlink()
    assert "What could not be read" not in headings(page(run))


def test_broken_files_are_noted_and_the_rest_is_shown(run):
    with (run / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 6, "metr')
    (run / "manifest.json").write_text("{")
    (run / "evaluations" / "base-sampled.json").write_text("[]")
    (run / "trajectories" / "eval-base-sampled.parquet").write_bytes(b"PAR1")
    events = run / "events.jsonl"
    events.write_text(events.read_text().replace('"stop"', '"step"'))
    made = page(run)
    assert headings(made)[-1] == "What could not be read"
    for expected in (
        "metrics.jsonl: 1 broken line left out",
        "manifest.json: not a JSON object",
        "base-sampled.json",
        "eval-base-sampled.parquet: not a whole Parquet file",
        "events.jsonl: the event was altered: its hash does not fit its content (line 2)",
    ):
        assert expected in made.text
    assert "The answer of trained-2." in made.text


def test_odd_numbers_are_dashes_not_crashes(tmp_path):
    odd = evaluation("base", "sampled", 0.1, success_rate=None, interval=None, pass_at=None, seconds="long")
    write_evaluations(tmp_path, odd, {"label": "trained", "mode": "greedy"})
    row = {"step": 1, "metrics": {"training/grad_norm": float("nan"), "rollout/reward/mean": 1}}
    (tmp_path / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    made = page(tmp_path)
    assert made.rows[1][2:4] == ["–", "–"]
    assert [name for name in made.scripts if name.startswith("figure-")] == ["figure-0", "figure-1"]


@pytest.mark.parametrize(("begun", "drawn"), [(0.1, False), (0.4, True)])
def test_the_reward_of_all_begun_is_drawn_where_it_is_not_that_of_those_trained_on(begun, drawn):
    rewards = {"rollout/reward/mean": 0.1, "rollout/reward/begun_mean": begun}
    (chart,) = curve_charts([{"step": 1, "phase": "rl", "metrics": rewards}])
    assert ("reward begun mean" in [trace["name"] for trace in chart.figure["data"]]) is drawn


def test_without_evaluations_the_first_and_last_step_are_shown(tmp_path):
    for step in (1, 2, 3):
        path = tmp_path / "trajectories" / f"step-{step:06}.parquet"
        write_trajectories(path, [trajectory(f"s{step}", "task-1", step / 3)])
    text = page(tmp_path).text
    assert "step-000001" in text
    assert "step-000003" in text
    assert "step-000002" not in text


def test_a_failed_rollout_and_an_unexecuted_call_are_shown_as_such(tmp_path):
    wish = {"id": "c", "type": "function", "function": {"name": "drop_all", "arguments": '{"really": true}'}}
    last = Turn((), {"role": "assistant", "content": None, "tool_calls": [wish]}, (1,), (2,), (-1.0,), (0,), "stop")
    lost = trajectory("r", "t", 0.0, turns=(last,), tool_calls=(), ending="error", rewards=(), error="the desk burnt")
    write_trajectories(tmp_path / "trajectories" / "eval-base-greedy.parquet", [lost])
    text = page(tmp_path).text
    assert "the desk burnt" in text
    assert "drop_all · not executed" in text


@pytest.mark.parametrize("recorded", [{}, None, [1]])
def test_a_call_whose_arguments_are_no_object_is_shown_as_any_other(tmp_path, recorded):
    wish = {"id": "c", "type": "function", "function": {"name": "list_all", "arguments": "null"}}
    first = Turn(
        (), {"role": "assistant", "content": "", "tool_calls": [wish]}, (1,), (2,), (-1.0,), (0,), "tool_calls"
    )
    odd = trajectory("r", "t", 0.0, turns=(first,), tool_calls=(ToolCall("c", "list_all", recorded, "nothing there"),))
    write_trajectories(tmp_path / "trajectories" / "eval-base-greedy.parquet", [odd])
    text = page(tmp_path).text
    assert "list_all" in text
    assert "nothing there" in text
