"""A SOP-Bench domain in its folder: splits, labels' types, licence, identity, and what is told of a broken one."""

from dataclasses import replace

import pytest

from practicum.environment import Call
from practicum.errors import EnvironmentFault
from practicum.suites.sop_bench import ACCEPTED, LicenceNote, SopBench
from practicum.suites.sop_domain import DATA, read_domain
from practicum.tasks import TaskSet

SPLITS = ("train", "validation", "test")

TOOL = '{"toolSpec": {"name": "find", "inputSchema": {"json": {"type": "object", "properties": {}}}}}'

MANAGER = "class DeskManager:\n    def process_tool_call(self, name, arguments):\n        return name\n\n\n"


def test_labels_have_the_type_of_their_whole_column(made):
    desk = made()
    labels = {task.prompt[11:15]: task.answer for split in SPLITS for task in desk.tasks(split)}
    assert labels["P006"] == {
        "decision": "refund",
        "amount": 16,
        "share": 1.5,
        "urgent": True,
        "notes": ["late"] * 6,
        "reason": "N/A",
    }
    assert labels["P000"]["reason"] is None
    assert labels["P000"]["share"] == 0.0
    assert labels["P000"]["urgent"] is False


def test_every_use_repeats_the_licence(checkout):
    with pytest.warns(LicenceNote, match="parcel_refunds: SOP-Bench's code and data are CC BY-NC 4.0"):
        SopBench(str(checkout), "parcel_refunds")
    assert "CC BY-NC 4.0" in SopBench.__doc__


def test_a_domain_whose_licence_speaks_of_training_is_for_evaluation(folder, made):
    (folder / "LICENSE.md").write_text("Nobody should take steps towards training models on this.\n")
    desk = made()
    assert desk.tasks("test")
    for split in ("train", "validation"):
        with pytest.raises(EnvironmentFault, match="speaks against training") as told:
            desk.tasks(split)
        assert str(folder / "LICENSE.md") in str(told.value)
        assert ACCEPTED.format(domain="parcel_refunds") in str(told.value)
    with pytest.raises(EnvironmentFault, match="speaks against training"):
        made(accept_license="yes").tasks("train")
    assert made(accept_license=ACCEPTED.format(domain="parcel_refunds")).tasks("train")


def test_a_licence_that_says_nothing_of_training_asks_for_nothing(folder, made):
    (folder / "LICENSE.md").write_text("Do what you like, but name us.\n")
    assert made().tasks("train")


def test_splits_are_drawn_by_hash_and_share_no_case(made, recase):
    desk = made()
    ids = {split: {task.id for task in TaskSet(desk.tasks(split))} for split in SPLITS}
    assert sum(map(len, ids.values())) == len(set.union(*ids.values())) == 60
    assert all(ids.values())
    recase(lambda rows: rows[10:])
    read_domain.cache_clear()
    fewer = {split: {task.id for task in made().tasks(split)} for split in SPLITS}
    assert all(fewer[split] <= ids[split] for split in SPLITS)


@pytest.mark.filterwarnings("ignore::practicum.suites.sop_bench.LicenceNote")
def test_equal_cases_are_one_and_contradictory_ones_are_left_out(checkout, recase):
    recase(lambda rows: [*rows, rows[3], {**rows[5], "decision": "other"}])
    with pytest.warns(UserWarning, match="2 cases left out: equal inputs, different labels"):
        desk = SopBench(str(checkout), "parcel_refunds")
    prompts = [task.prompt for split in SPLITS for task in desk.tasks(split)]
    assert len(prompts) == len(set(prompts)) == 59
    assert "parcel_id: P005\nweight: 5" not in prompts


def test_the_folder_of_the_domains_is_a_path_too(checkout, made):
    assert made(checkout / DATA).tasks("test") == made().tasks("test")


def test_version_and_digest_follow_the_users_files(folder, made):
    before = made().ref
    assert before == made().ref
    (folder / "sop.txt").write_text("1. Refund every parcel.")
    read_domain.cache_clear()
    after = made().ref
    assert before.version != after.version
    assert before.digest != after.digest
    assert after.version.startswith("1+")


def test_running_the_tools_leaves_nothing_in_the_checkout_and_changes_no_version(checkout, folder, made, begun):
    desk, before = made(), sorted(checkout.rglob("*"))
    begun(desk, desk.tasks("test")[0]).call(Call("desk_state", {}))
    assert sorted(checkout.rglob("*")) == before
    (folder / "tools.pyc").write_bytes(b"left by whoever runs the benchmark itself")
    read_domain.cache_clear()
    assert made().version == desk.version


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("metadata.json", '{"output_columns": ["decision"]}', "input_columns is None"),
        ("metadata.json", '{"input_columns": ["parcel_id"], "output_columns": []}', "output_columns is []"),
        ("metadata.json", '{"input_columns": ["parcel_id"], "output_columns": ["fine"]}', "no column fine"),
        ("metadata.json", '{\n"input_columns": [,\n}', "metadata.json:2"),
        ("toolspecs.json", "{}", "no list of tools"),
        ("toolspecs.json", '[{"toolSpec": {"name": "a"}}]', "tool 1 is not in Bedrock's form: KeyError"),
        ("toolspecs.json", '[{"name": "a", "inputSchema": {"json": {"type": "objekt"}}}]', "not a JSON Schema"),
        ("toolspecs.json", f"[{TOOL}, {TOOL}]", "used twice"),
        ("test_set_with_outputs.csv", "parcel_id,weight,decision\n", "no column"),
        ("sop.txt", None, "the domain has no sop.txt"),
    ],
)
def test_a_broken_domain_is_told_with_its_file(folder, made, file, text, said):
    if text is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(text)
    with pytest.raises(EnvironmentFault) as told:
        made().schemas()
    assert said in str(told.value)
    assert str(folder) in str(told.value) or "not a JSON Schema" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("class Manager:\n    pass\n", "the tools have 0 Managers: none"),
        (f"{MANAGER}{MANAGER.replace('Desk', 'Other')}", "2 Managers: DeskManager, OtherManager"),
        ("import nowhere_to_be_found\n", "cannot be imported: ModuleNotFoundError"),
        ("1 +\n", "cannot be imported: SyntaxError"),
    ],
)
def test_broken_tools_are_told_with_their_file(folder, made, text, said):
    (folder / "tools.py").write_text(text)
    desk = made()
    with pytest.raises(EnvironmentFault, match=said) as told:
        desk.reset(desk.tasks("test")[0], 0)
    assert str(folder / "tools.py") in str(told.value)


def test_a_tool_that_lacks_a_package_is_a_fault_of_the_environment(folder, made, begun):
    text = (folder / "tools.py").read_text()
    (folder / "tools.py").write_text(text.replace("        import time\n", "        import nowhere_to_be_found\n"))
    desk = made()
    recorder = begun(desk, desk.tasks("test")[0])
    with pytest.raises(EnvironmentFault, match="'desk_state' needs nowhere_to_be_found"):
        recorder.call(Call("desk_state", {}))


def test_unknown_paths_domains_and_splits_are_told(made, tmp_path):
    with pytest.raises(EnvironmentFault, match="no SOP-Bench domain 'loans'") as told:
        made(domain="loans")
    assert "parcel_refunds" in str(told.value)
    with pytest.raises(EnvironmentFault, match="no SOP-Bench domain 'parcel_refunds'") as told:
        made(tmp_path / "nowhere")
    assert "get SOP-Bench from its owner" in str(told.value)
    with pytest.raises(EnvironmentFault, match="no split 'dev'"):
        made().tasks("dev")


def test_a_task_of_somebody_elses_has_no_oracle(made):
    desk = made()
    task = replace(desk.tasks("test")[0], id="mine")
    with pytest.raises(EnvironmentFault, match="no case of parcel_refunds"):
        next(desk.oracle(task))
