"""From what a user types (a file, ``desk.py:Desk``, ``package.module:Desk``, a suite, a recipe) to a class.

Training loads its environments here too, so what was checked is what is trained in.
"""

import copy
import inspect
import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

from practicum.digests import digest
from practicum.environment.base import Environment
from practicum.environment.modules import load_file, load_module
from practicum.environment.parts import CORE
from practicum.environment.places import place_of_error, place_of_method
from practicum.errors import EnvironmentFault, PracticumError, TaskError
from practicum.tasks import Columns, Task, TaskSet, load_tasks, with_held_out
from practicum.trajectory import Judge

if TYPE_CHECKING:
    from practicum.recipe import Recipe

SPLITS = ("train", "validation", "test")

_ALLOWED = "path/to/file.py, path/to/file.py:Class, package.module:Class, the name of a suite, or a recipe.yaml"

UNCHECKED = "there is no environment here to check: tools and reward are the agent server's own"
"""Why a run in one has no certificate."""


class AgentsOwn(Environment):
    """No tools and no tasks: the agent server brings the former, datasets the latter.

    Its digest says nothing of the agent's code, which nobody here can see.
    """

    id, version = "agents-own", "1"

    def tasks(self, split: str) -> NoReturn:
        """There are none.

        Raises:
            EnvironmentFault: always.
        """
        raise EnvironmentFault(
            f"the recipe has no environment, so split {split!r} needs a dataset",
            fix="set training_dataset, and validation_dataset or test_dataset, in the recipe",
        )


@dataclass(frozen=True)
class Reading:
    """How dataset files are read.

    Attributes:
        columns: Which columns are taken for what.
        carved: Whether training and held-out tasks are parts of one file.
        one_text: Whether a task is sent to its agent as one text, as an agent server takes it.
    """

    columns: Columns = field(default_factory=Columns)
    carved: bool = False
    one_text: bool = False


@dataclass(frozen=True)
class EnvironmentTarget:
    """An environment's class with what makes instances of it, and the score and reward beside it.

    Attributes:
        name: The target as the user typed it.
        source: ``/absolute/file.py:Class`` or ``package.module:Class``: names the same class in any process.
        folder: Where ``package.module`` is looked for beside the installed ones.
        args: Arguments of the class, by name.
        score, reward: None where the module has none under the default name.
        judges: The names these two were looked for under.
        datasets: Dataset files that stand in for the environment's own splits.
        reading: How these are read.
    """

    name: str
    source: str
    folder: Path
    environment: type[Environment]
    args: Mapping[str, Any]
    module: ModuleType
    score: Judge | None
    reward: Judge | None
    datasets: Mapping[str, Path] = field(default_factory=dict)
    judges: tuple[str, str] = ("score", "reward")
    reading: Reading = Reading()

    @property
    def home(self) -> Path:
        """Folder of the file that defines the class."""
        return Path(inspect.getfile(self.environment)).resolve().parent

    def make(self) -> Environment:
        """A fresh instance.

        Raises:
            EnvironmentFault: the class does not take the arguments, or its constructor raised.
        """
        try:
            return self.environment(**copy.deepcopy(dict(self.args)))
        except PracticumError:
            raise
        except (Exception, SystemExit) as error:
            name = self.environment.__name__
            given = ", ".join(f"{key}={value!r}" for key, value in self.args.items())
            raise EnvironmentFault(
                f"{name}({given}) raised {type(error).__name__}: {error}",
                where=place_of_error(error, self.home),
                allowed=f"{name}{inspect.signature(self.environment)}",
                fix="mend environment_args, or the constructor",
            ) from error

    def tasks(self, split: str) -> list[Task]:
        """Tasks of ``train``, ``validation`` or ``test``: the recipe's dataset, else the environment's own.

        Raises:
            EnvironmentFault: the environment has no such split, or gave something that is not a Task.
            TaskError: the dataset cannot be read, or a task is a chat and its agent is sent one text.
        """
        if split in self.datasets:
            return list(self.dataset(split))
        tasks = list(self.make().tasks(split))
        for task in tasks:
            if not isinstance(task, Task):
                raise EnvironmentFault(
                    f"tasks({split!r}) gave {task!r}",
                    where=place_of_method(self.environment, "tasks"),
                    allowed="a list of practicum.Task",
                )
        self._refuse_chats(
            tasks,
            where=place_of_method(self.environment, "tasks"),
            fix="write what the user says into the prompt and what the system says into the agent; or agent: builtin",
        )
        return tasks

    def dataset(self, split: str) -> TaskSet:
        """Tasks of a split that has a dataset.

        Raises:
            TaskError: it cannot be read, or a prompt is a chat and its agent is sent one text.
        """
        tasks = load_tasks(self.datasets[split], self.reading.columns)
        self._refuse_chats(
            tasks,
            where=str(self.datasets[split]),
            fix="write the user's text into the column, and what the system says into the agent",
        )
        if not self.reading.carved:
            return tasks
        trained, held_out = with_held_out(tasks)
        return trained if split == "train" else held_out

    def _refuse_chats(self, tasks: Iterable[Task], *, where: str, fix: str) -> None:
        chat = next((task for task in tasks if task.history), None) if self.reading.one_text else None
        if chat is not None:
            raise TaskError(
                f"the prompt of task {chat.id!r} is a chat of {len(chat.history) + 1} messages, and an agent server is "
                "sent one text",
                where=where,
                fix=fix,
            )

    def tasks_or_fault(self, split: str) -> list[Task]:
        """``tasks``, with whatever the user's code raises as a fault at its line.

        Raises:
            PracticumError: as ``tasks``; one with a cause where the user's code raised.
        """
        try:
            return self.tasks(split)
        except PracticumError:
            raise
        except (Exception, SystemExit) as error:
            raise EnvironmentFault(
                f"{self.environment.__name__}.tasks({split!r}) raised {type(error).__name__}: {error}",
                where=place_of_error(error, self.home),
                fix="mend that line",
            ) from error

    @property
    def has_oracle(self) -> bool:
        """Whether the environment defines one."""
        return self.environment.oracle is not Environment.oracle


def resolve_target(text: str) -> EnvironmentTarget:
    """The environment that ``practicum check TARGET`` means: what ``load_target`` takes, or a recipe.

    Raises:
        EnvironmentFault: as ``load_target``.
        RecipeError: the recipe is not valid.
    """
    if not text.endswith((".yaml", ".yml")):
        return load_target(text)
    from practicum.recipe import load_recipe

    return target_of(load_recipe(text), name=text)


def load_target(
    spec: str, args: Mapping[str, Any] | None = None, *, score: str = "score", reward: str = "reward"
) -> EnvironmentTarget:
    """Find the environment that ``spec`` names.

    Args:
        spec: A file, a file and class, a module and class, or a suite's name.
        args: Arguments of the class.
        score, reward: Names of the score and the reward in the environment's module; or ``file.py:name`` or
            ``package.module:name`` for one that is elsewhere.

    Raises:
        EnvironmentFault: nothing there, not exactly one environment there, or it fails to import; or no score
            or reward of a name other than the default.
    """
    module, wanted, folder = _module(spec)
    name, environment = _class(module, wanted, spec)
    file = Path(inspect.getfile(environment)).resolve()
    by_file = spec.rpartition(":")[0].endswith(".py") or spec.endswith(".py")
    where = str(Path(str(module.__file__)).resolve()) if by_file else module.__name__
    source, arguments = f"{where}:{name}", _located(environment, args or {})
    judges = _judge(module, score, "score", file), _judge(module, reward, "reward", file)
    names = (score, reward)
    return EnvironmentTarget(spec, source, folder, environment, arguments, module, *judges, judges=names)


def target_of(recipe: "Recipe", *, name: str = "") -> EnvironmentTarget:
    """The environment a recipe trains in, with its arguments, score, reward and datasets.

    A recipe with an agent server and a training dataset needs none: its tools, and the reward, are the agent's.

    Raises:
        EnvironmentFault: the recipe names no environment and needs one, or not one that can be loaded.
    """
    from practicum.recipe import BUILTIN  # lazily: an environment is loaded without recipes, often

    columns = Columns(recipe.prompt_column, recipe.id_column, recipe.answer_column)
    files = {"train": recipe.training_dataset, "validation": recipe.validation_dataset, "test": recipe.test_dataset}
    datasets = {split: path for split, path in files.items() if path is not None}
    if recipe.environment is not None:
        target = load_target(recipe.environment, recipe.environment_args, score=recipe.score, reward=recipe.reward)
        return replace(
            target,
            name=name or recipe.environment,
            datasets=datasets,
            reading=Reading(columns, one_text=recipe.agent != BUILTIN),
        )
    if recipe.agent == BUILTIN or recipe.training_dataset is None:
        raise EnvironmentFault(
            "the recipe names no environment",
            where=name,
            allowed="none only with agent: http://… (its tools and its reward are used) and training_dataset: a file",
            fix="set environment: path/to/file.py:Class in the recipe",
        )
    target = load_target(f"{AgentsOwn.__module__}:{AgentsOwn.__name__}", score=recipe.score)
    held_out = recipe.test_dataset or recipe.validation_dataset
    every = {"validation": held_out or recipe.training_dataset, "test": held_out or recipe.training_dataset}
    reading = Reading(columns, carved=held_out is None, one_text=True)
    return replace(target, name=name or recipe.agent, datasets=every | datasets, reading=reading)


def task_record(task: Task) -> dict[str, Any]:
    """What of a task must be equal everywhere."""
    return {
        "id": task.id,
        "prompt": task.prompt,
        **({"history": list(task.history)} if task.history else {}),
        "answer": None if task.answer is None else dict(task.answer),
    }


def task_digest(task: Task) -> str:
    """Digest of ``task_record``; of its ``repr`` where the label is no JSON."""
    try:
        return digest(task_record(task))
    except (TypeError, ValueError):
        return digest(repr(task_record(task)))


def suites() -> list[str]:
    """Names of the environments that ship with Practicum."""
    return sorted(module.name for module in pkgutil.iter_modules([str(CORE / "suites")]) if module.ispkg)


def _module(spec: str) -> tuple[ModuleType, str, Path]:
    """The module, the class asked for (empty: the only one), and the folder modules are looked for in."""
    working = Path.cwd()
    place, colon, class_name = spec.rpartition(":") if ":" in spec else (spec, "", "")
    if colon and not class_name.isidentifier():
        raise EnvironmentFault(f"{class_name!r} is not the name of a class", where=spec, allowed=_ALLOWED)
    if place.endswith(".py"):
        return load_file(Path(place).expanduser()), class_name, working
    if place in suites():
        return load_module(f"practicum.suites.{place}", working), class_name, working
    if not colon or not all(part.isidentifier() for part in place.split(".")):
        near = get_close_matches(place, suites(), n=1)
        raise EnvironmentFault(
            f"no environment is called {spec!r}",
            allowed=f"{_ALLOWED}. Suites: {', '.join(suites())}",
            fix=f"did you mean {near[0]}?" if near else "",
        )
    return load_module(place, working), class_name, working


def _located(environment: type[Environment], args: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with those that are paths made absolute: processes of a check have working folders of their own."""
    paths = {name for name in environment.path_arguments if isinstance(args.get(name), str) and args[name]}
    return {key: str(Path(value).expanduser().absolute()) if key in paths else value for key, value in args.items()}


def _class(module: ModuleType, class_name: str, spec: str) -> tuple[str, type[Environment]]:
    environments = {name: value for name, value in vars(module).items() if _is_environment(value)}
    if class_name in environments:
        return class_name, environments[class_name]
    # By class, so that a second name for the same one is no second environment.
    defined = {value: name for name, value in environments.items() if value.id and _defined_in(value, module)}
    names, where = list(defined.values()), str(module.__file__)
    if class_name:
        exists = getattr(module, class_name, None) is not None
        problem = "is not a subclass of practicum.Environment" if exists else "does not exist"
        allowed = ", ".join(names) or "a subclass of practicum.Environment"
        raise EnvironmentFault(f"{class_name} {problem}", where=where, allowed=allowed)
    if len(defined) == 1:
        return names[0], next(iter(defined))
    if not defined:
        fix = 'subclass practicum.Environment and give it id, version = "my-environment", "1.0.0"'
        raise EnvironmentFault("no environment is defined here", where=where, fix=fix)
    choices = ", ".join(f"{spec}:{name}" for name in names)
    raise EnvironmentFault(
        f"{len(defined)} environments are defined here", where=where, allowed=choices, fix="name one"
    )


def _is_environment(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Environment) and value is not Environment


def _defined_in(cls: type, module: ModuleType) -> bool:
    return cls.__module__ == module.__name__ or cls.__module__.startswith(f"{module.__name__}.")


def _judge(module: ModuleType, name: str, default: str, file: Path) -> Judge | None:
    place = "beside the environment"
    if ":" in name:
        module, name, _ = _module(name)
        file = Path(str(module.__file__))
        place = f"in {file.name}"
    judge: Judge | None = getattr(module, name, None)
    if callable(judge) or (judge is None and name == default):
        return judge
    problem = f"there is no {name!r} {place}" if judge is None else f"{name!r} is {judge!r}"
    raise EnvironmentFault(problem, where=str(file), allowed="a function of a practicum Rollout", fix=f"define {name}")
