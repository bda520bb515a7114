"""Passwords in addresses reach neither a screen nor a file of the run folder."""

import json

import pytest

from practicum.monitor.undelivered import Destination, Undelivered, storable, without_password

ADDRESSES = {
    "https://ann:hunter-two@h:5000/x": "https://h:5000/x",
    "http://ann:hunter-two@x@h": "http://h",
    "postgresql://ann:hunter-two@h:5432/db": "postgresql://ann@h:5432/db",
    "mysql+pymysql://ann:hunter:two@x@h/db": "mysql+pymysql://ann@h/db",
    "postgresql://h/db?user=ann&password=hunter-two&sslmode=require": "postgresql://h/db?user=ann&password=&sslmode=require",
    "sqlite:///runs/mlflow.db": "sqlite:///runs/mlflow.db",
    "databricks://profile": "databricks://profile",
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_shown_and_kept_without_its_password(address):
    assert "hunter" not in without_password(address)
    assert storable(address) == ADDRESSES[address]
    assert storable(storable(address)) == storable(address)


def test_what_is_kept_for_later_names_no_password(tmp_path):
    address = "https://ann:hunter-two@h:5000/x"
    Undelivered(tmp_path).keep(Destination("e", "r", address), [("params", {"a": 1})])
    assert json.loads((tmp_path / "undelivered" / "about.json").read_text())["tracking_uri"] == "https://h:5000/x"
    assert "hunter" not in "".join(path.read_text() for path in (tmp_path / "undelivered").iterdir())


def test_a_run_in_a_store_with_a_password_is_taken_up_again_without_writing_it_down(tmp_path):
    from practicum.monitor.mlflow_store import RUN_FILE, MlflowStore

    first = f"sqlite:///{tmp_path}/store.db?password=hunter-two"
    first_id = MlflowStore(tmp_path, "e", "r", first)._run_id
    assert "hunter" not in (tmp_path / RUN_FILE).read_text()
    again = f"sqlite:///{tmp_path}/store.db?password=hunter-two"
    assert MlflowStore(tmp_path, "e", "r", again)._run_id == first_id
    (tmp_path / RUN_FILE).write_text(json.dumps({"tracking_uri": first, "run_id": first_id}))  # of an earlier release
    assert MlflowStore(tmp_path, "e", "r", again)._run_id == first_id
