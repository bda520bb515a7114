"""A model is named as on the hub: it is fetched once, and its chat format stays known by that name."""

import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch

from practicum.engine.local import hub
from practicum.engine.local.hub import hub_name, is_hub_id
from practicum.engine.local.learner import LocalLearner
from practicum.engine.local.models import family_of, find_model
from practicum.engine.local.policy import Policy
from practicum.errors import ModelError

NAME = "Qwen/Qwen3-0.6B"


@pytest.fixture
def cached(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache that holds the tiny model under ``NAME``; gives the model's folder in it."""
    repository, revision = tmp_path / "hub/models--Qwen--Qwen3-0.6B", "0" * 40
    shutil.copytree(tiny_model, repository / "snapshots" / revision)
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text(revision)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return repository / "snapshots" / revision


def test_a_model_is_fetched_from_the_hub_by_its_name(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[tuple[str, dict[str, Any]]]()

    def snapshot_download(name: str, **more: Any) -> str:
        asked.append((name, more))
        return str(tiny_model)

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)

    assert find_model(NAME) == tiny_model
    ((name, more),) = asked
    assert name == NAME
    assert {"*.json", "*.safetensors", "*.model"} <= set(more["allow_patterns"])


def test_what_is_in_the_cache_needs_no_network(cached: Path) -> None:
    assert find_model(NAME) == cached


def test_without_a_network_the_message_names_the_folder_to_use() -> None:
    with pytest.raises(ModelError, match=f"cannot fetch '{NAME}' from the Hugging Face hub") as caught:
        find_model(NAME)

    assert f"hf download {NAME} --local-dir models/{NAME}" in caught.value.fix
    assert f"model_name: models/{NAME}" in caught.value.fix


def test_a_repository_without_a_model_is_said_to_hold_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "snapshot_download", lambda name, **more: str(tmp_path))

    with pytest.raises(ModelError, match=f"no model at '{NAME}'"):
        find_model(NAME)


def test_a_folder_of_that_name_goes_before_the_hub(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(NAME).parent.mkdir()
    Path(NAME).symlink_to(tiny_model)

    assert not is_hub_id(NAME)
    assert find_model(NAME) == Path(NAME)


@pytest.mark.parametrize("name", ["smollm2-135m", "/a/b", "./a/b", "../b", "~/b", "a/b/c", "", "a/", "https://a/b"])
def test_other_names_are_none_of_the_hubs(name: str) -> None:
    assert not is_hub_id(name)


def test_a_folder_in_the_hubs_cache_is_of_the_family_it_was_fetched_as(cached: Path, tmp_path: Path) -> None:
    assert hub_name(cached) == family_of(str(cached)) == NAME
    assert hub_name(tmp_path) is None

    output = tmp_path / "output"
    output.mkdir()
    policy = Policy.load(find_model(NAME), dtype=torch.float32, device=torch.device("cpu"))
    LocalLearner(policy, lora_rank=2).export(output)

    assert family_of(str(output)) == NAME
