"""A run that did not get there says so, and one that still learns goes on."""

import json

import pytest

from practicum.recipe import Recipe
from practicum.training.course import Course, divergence, goes_on, verdict

RECIPE = Recipe(
    global_batch_size=16, max_steps=10, val_every=5, extend_steps=10, extend_minutes=8, max_steps_off_policy=0
)


def course(silent=(0.2, 0.2, 0.2), success=((5, 0.5), (10, 0.7)), seconds=(20.0, 20.0, 20.0), reward=(0.5,)):
    return Course(silent, success, seconds, reward)


def test_a_course_is_read_from_what_a_run_recorded(tmp_path):
    lines = [
        {
            "step": 1,
            "phase": "rl",
            "metrics": {
                "analysis/zero_adv_groups": 4.0,
                "analysis/batch_valid_ratio": 0.75,
                "rollout/reward/mean": 0.5,
            },
        },
        {
            "step": 2,
            "phase": "rl",
            # With a penalty the gradient is taken on silent groups too: they are silent all the same.
            "metrics": {
                "analysis/zero_adv_groups": 16.0,
                "analysis/batch_valid_ratio": 0.0,
                "analysis/groups_left_out": 4.0,
                "training/num_groups": 16.0,
                "timing_s/step": 3.0,
            },
        },
        {"step": 2, "phase": "validation", "metrics": {"val/score/mean": 0.4}},
        {"step": 2, "phase": "checkpoint", "metrics": {}},
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps({"time": 1.0, **line}) + "\n" for line in lines))
    assert Course.of(tmp_path) == Course([0.25, 0.75], [(2, 0.4)], [0.0, 3.0], [0.5, 0.0])
    assert Course.of(tmp_path / "nowhere") == Course([], [], [], [])


def test_divergence_is_how_far_the_held_out_score_stays_behind_the_reward(tmp_path):
    assert divergence(tmp_path, {"val/score/mean": 0.4}, "val") == {}
    line = {"step": 1, "time": 1.0, "phase": "rl", "metrics": {"rollout/reward/mean": 0.8}}
    (tmp_path / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    assert divergence(tmp_path, {"val/score/mean": 0.4}, "val") == {"val/divergence": pytest.approx(0.5)}
    assert divergence(tmp_path, {}, "eval") == {}


def test_training_goes_on_while_validation_rises_and_time_allows():
    assert goes_on(course(), RECIPE, extra=0, seconds=300)
    assert goes_on(course(), RECIPE, extra=5, seconds=300)
    assert goes_on(course(success=[(10, 0.7)]), RECIPE, extra=0, seconds=300)


@pytest.mark.parametrize(
    ("why_not", "extra", "seconds"),
    [
        (course(success=[(5, 0.7), (10, 0.7)]), 0, 300),  # no better than before
        (course(success=[(5, 0.9), (10, 0.97)]), 0, 300),  # nothing left to learn
        (course(success=[]), 0, 300),
        (course(silent=[0.2, 0.7, 0.8, 0.6]), 0, 300),  # groups have nothing left to say
        (course(), 6, 300),  # another five would be eleven
        (course(), 0, 381),  # five steps of twenty seconds end after eight minutes
    ],
)
def test_and_not_otherwise(why_not, extra, seconds):
    assert not goes_on(why_not, RECIPE, extra=extra, seconds=seconds)


def test_a_run_that_settled_too_early_says_so_and_what_to_change():
    told = verdict(course(silent=[0.2, 12 / 16, 12 / 16, 12 / 16]), RECIPE, 0.67)
    assert told.startswith("learning had stopped: 12 of 16 groups without signal at 67%")
    assert "advantage_method=max_rl with group_size=8" in told


def test_a_run_that_has_the_cure_already_and_settled_is_told_what_else_may_help():
    recipe = Recipe(**{**RECIPE.to_dict(), "advantage_method": "max_rl", "group_size": 8})
    told = verdict(course(silent=[0.75, 0.75, 0.75]), recipe, 0.67)
    assert "larger group_size (now 8)" in told
    assert "learning_rate" in told


def test_a_run_in_which_nothing_was_ever_paid_needs_another_start():
    told = verdict(course(silent=[1.0, 1.0, 1.0], reward=[0.0, 0.0, 0.0], success=[(10, 0.0)]), RECIPE, 0.0)
    assert "nothing was paid" in told
    assert "foothold" in told


def test_a_run_that_ended_while_it_learned_says_so():
    assert "still learning at 80%" in verdict(course(), RECIPE, 0.8)


def test_a_run_that_got_there_or_only_wavers_says_nothing():
    assert verdict(course(silent=[0.9, 0.9, 0.9]), RECIPE, 0.97) is None
    assert verdict(course(success=[(5, 0.8), (10, 0.75)]), RECIPE, 0.8) is None
    assert verdict(course(silent=[]), RECIPE, 0.5) is None
    assert verdict(course(success=[]), RECIPE, 0.5) is None  # nobody looked


@pytest.mark.parametrize("clash", [{"max_steps_off_policy": 3}, {"lr_schedule": "linear"}, {"val_every": 0}])
def test_what_cannot_be_extended_is_refused(clash):
    with pytest.raises(ValueError, match="extend_steps"):
        Recipe(**{"max_steps_off_policy": 0, "val_every": 5, "extend_steps": 10, **clash})


def test_a_rate_that_does_not_run_out_can_be_extended():
    Recipe(max_steps_off_policy=0, val_every=5, extend_steps=10, lr_schedule="linear", min_lr_ratio=0.2)


def test_a_run_goes_on_while_it_learns_and_resumes_where_it_was(commands, monkeypatch):
    more = ("max_steps=2", "val_every=2", "extend_steps=4", "save_every=1")
    always = "import practicum.training.trainer as t; t.goes_on = lambda course, recipe, *, extra, seconds: extra < 4"
    whole = commands("train", "desk.yaml", *more, "--run", "runs/whole", first=always)
    assert whole.code == 0, whole.err
    assert "it still learns: on to step 4" in whole.out
    assert "it still learns: on to step 6" in whole.out
    steps = [line["step"] for line in lines_of(commands.folder / "runs/whole") if line["phase"] == "rl"]
    assert steps == [1, 2, 3, 4, 5, 6]
    assert (commands.folder / "runs/whole/checkpoints/step-000006").exists()

    stop = f"{always}\nimport practicum.training.trainer as t; step = t.Trainer.step\n"
    stop += (
        "def dies(self, n):\n    if n == 4: raise KeyboardInterrupt\n    return step(self, n)\nt.Trainer.step = dies"
    )
    assert commands("train", "desk.yaml", *more, "--run", "runs/stopped", first=stop).code != 0
    resumed = commands("resume", "runs/stopped", first=always)
    assert resumed.code == 0, resumed.err
    both = [
        [
            line["metrics"].get("training/loss")
            for line in lines_of(commands.folder / "runs" / name)
            if line["phase"] == "rl"
        ]
        for name in ("whole", "stopped")
    ]
    assert both[0] == both[1]


def lines_of(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
