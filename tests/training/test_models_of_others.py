"""Models as other programs leave them train: adapters without a tokenizer, older tokenizers, names on the hub."""

import json
import shutil
from pathlib import Path
from typing import Any

import peft
import pytest
import transformers as tf

STEP = ("desk.yaml", "max_steps=1", "save_every=1", "val_every=0")


@pytest.fixture
def adapter(able_model: Path, tmp_path: Path) -> Path:
    """An adapter as PEFT writes it: its configuration and its weights, and nothing else."""
    model = peft.get_peft_model(
        tf.AutoModelForCausalLM.from_pretrained(able_model),
        peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"),
    )
    model.save_pretrained(tmp_path / "adapter")
    assert not list((tmp_path / "adapter").glob("*token*"))
    return tmp_path / "adapter"


@pytest.fixture
def older(able_model: Path, tmp_path: Path) -> Path:
    """A model whose tokenizer is a vocabulary and its merges, as before there was a ``tokenizer.json``."""
    folder = tmp_path / "older"
    shutil.copytree(able_model, folder)
    whole = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps(whole["model"]["vocab"]))
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in whole["model"]["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config |= {
        "tokenizer_class": "GPT2Tokenizer",
        "added_tokens_decoder": {
            str(token["id"]): {key: value for key, value in token.items() if key != "id"}
            for token in whole["added_tokens"]
        },
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def trained(commands: Any, model: object, first: str = "") -> Path:
    """Train one step on a model and export it; gives the exported folder."""
    for arguments in (("train", *STEP, f"model_name={model}", "--run", "a"), ("export", "runs/a", "models/a")):
        done = commands(*arguments, first=first)
        assert done.code == 0, done.err
    exported: Path = commands.folder / "models/a"
    return exported


@pytest.mark.parametrize("kind", ["adapter", "older"])
def test_a_model_with_fewer_files_trains_and_is_exported_whole(request: Any, commands: Any, kind: str) -> None:
    exported = trained(commands, request.getfixturevalue(kind))

    assert {"config.json", "tokenizer.json", "chat_template.jinja"} <= {path.name for path in exported.iterdir()}
    assert "To call one, reply only with" in tf.AutoTokenizer.from_pretrained(exported).chat_template
    assert len(json.loads((commands.folder / "runs/a/manifest.json").read_text())["tokenizer"]) == 64


def test_an_adapter_without_a_tokenizer_has_its_bases_on_record(commands: Any, adapter: Path, able_model: Path) -> None:
    trained(commands, adapter)
    assert commands("train", *STEP, f"model_name={able_model}", "--run", "b").code == 0

    records = [json.loads((commands.folder / f"runs/{run}/manifest.json").read_text()) for run in "ab"]
    assert records[0]["tokenizer"] == records[1]["tokenizer"]
    assert records[0]["model"] != records[1]["model"]


def test_a_name_on_the_hub_trains(commands: Any, able_model: Path, tmp_path: Path) -> None:
    repository, revision = tmp_path / "hub/models--someone--able", "1" * 40
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text(revision)
    shutil.copytree(able_model, repository / "snapshots" / revision)
    (repository / "snapshots" / revision / "family.json").unlink()
    cache = f"import huggingface_hub; huggingface_hub.constants.HF_HUB_CACHE = {str(tmp_path / 'hub')!r}"

    exported = trained(commands, "someone/able", first=cache)

    assert json.loads((exported / "family.json").read_text()) == {"family": "someone/able"}


def test_a_name_on_the_hub_without_a_network_is_an_error_that_names_a_folder(commands: Any) -> None:
    refused = commands("train", *STEP, "model_name=someone/absent", "--run", "a")

    assert refused.code == 1
    assert "cannot fetch 'someone/absent' from the Hugging Face hub" in refused.err
    assert "model_name: models/someone/absent" in refused.err.replace("\n", " ")
    assert not (commands.folder / "runs/a").exists()
