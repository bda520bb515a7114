import pytest

from practicum.environment.target import load_target
from practicum.errors import EnvironmentFault, TaskError
from practicum.recipe import Recipe
from practicum.training.splits import load_splits

EXAM = '''
from practicum import Environment, Task, tool
from practicum.errors import EnvironmentFault


class Exam(Environment):
    """An environment with the given splits."""

    id, version = "exam", "1.0.0"

    @tool
    def look(self) -> str:
        """something"""
        return "nothing"

    def tasks(self, split):
        if split not in {SPLITS}:
            raise EnvironmentFault(f"exam has no split {{split!r}}", allowed="{SPLITS}")
        asked = "train" if {SHARED} else split
        return [Task(f"{{split}}-{{n}}", f"{{asked}} {{n}}?", {{"n": n}}) for n in range({COUNT})]
'''


@pytest.fixture
def load(tmp_path):
    def run(splits, count=6, shared=False):
        path = tmp_path / f"exam{len(list(tmp_path.iterdir()))}.py"
        path.write_text(EXAM.format(SPLITS=tuple(splits), COUNT=count, SHARED=shared))
        recipe = Recipe(model_name="smollm2-135m", environment=f"{path}:Exam", global_batch_size=4, group_size=2)
        return load_splits(recipe, load_target(str(path)))

    return run


def test_all_three_splits_are_loaded(load):
    assert {name: len(tasks) for name, tasks in load(["train", "validation", "test"]).items()} == {
        "train": 6,
        "validation": 6,
        "test": 6,
    }


def test_a_test_split_alone_can_be_evaluated_and_says_that_it_cannot_be_trained_on(load):
    splits = load(["test"])
    assert list(splits) == ["test"]
    assert len(splits["test"]) == 6
    with pytest.raises(EnvironmentFault, match="exam has no split 'train'"):
        splits["train"]


def test_without_a_test_split_nothing_can_be_measured(load):
    with pytest.raises(EnvironmentFault, match="exam has no split 'test'"):
        load(["train", "validation"])


def test_fewer_tasks_than_a_step_needs_and_shared_prompts_are_refused(load):
    with pytest.raises(TaskError, match="fewer than one step's global_batch_size 4"):
        load(["train", "validation", "test"], count=3)
    with pytest.raises(TaskError, match="prompts stand both in"):
        load(["train", "validation", "test"], shared=True)
