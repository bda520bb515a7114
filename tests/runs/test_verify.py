import pytest

from practicum.runs.events import EventLog
from practicum.runs.manifest import Manifest, describe_machine, file_digests, verify, write_manifest
from practicum.trajectory import EnvironmentRef


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    (folder / "output").mkdir(parents=True)
    (folder / "output" / "adapter.safetensors").write_bytes(b"weights")
    (folder / "recipe.yaml").write_text("group_size: 8\n")
    machine = describe_machine(1, tmp_path)
    ref = EnvironmentRef("desk", "1.0.0", "ab")
    made = Manifest(ref, {}, {}, {}, "r", "s", {"group_size": 8}, {"name": "m", "digest": "d"}, "t", machine)
    path = write_manifest(folder, made)
    with EventLog(folder / "events.jsonl") as log:
        log.append("start", {"files": file_digests(folder, [path, folder / "recipe.yaml"])})
        log.append("checkpoint", {"files": file_digests(folder, [folder / "output"])})
    return folder


def problems(folder):
    return {finding.subject: finding.detail for finding in verify(folder) if not finding.ok}


def test_an_untouched_run_is_proven(run):
    assert problems(run) == {}
    assert [finding.subject for finding in verify(run)] == [
        "events.jsonl",
        "manifest.json",
        "manifest.json",
        "output",
        "recipe.yaml",
    ]


def test_altered_files_and_folders_are_named(run):
    (run / "recipe.yaml").write_text("group_size: 4\n")
    (run / "output" / "adapter.safetensors").write_bytes(b"Weights")
    assert problems(run).keys() == {"recipe.yaml", "output"}
    assert "altered" in problems(run)["output"]


def test_a_file_added_to_a_recorded_folder_is_noticed(run):
    (run / "output" / "more.bin").write_bytes(b"")
    assert problems(run).keys() == {"output"}


def test_a_removed_file_is_missing(run):
    (run / "recipe.yaml").unlink()
    assert problems(run) == {"recipe.yaml": "recorded in the events, but missing"}


def test_a_file_changed_on_the_record_is_fine(run):
    (run / "recipe.yaml").write_text("group_size: 4\n")
    with EventLog(run / "events.jsonl") as log:
        log.append("recipe_change", {"files": file_digests(run, [run / "recipe.yaml"])})
    assert problems(run) == {}


def test_an_altered_manifest_is_noticed(run):
    path = run / "manifest.json"
    path.write_text(path.read_text().replace('"1.0.0"', '"1.0.1"'))
    assert problems(run).keys() == {"manifest.json"}


def test_a_broken_chain_is_a_problem_that_names_the_line(run):
    path = run / "events.jsonl"
    path.write_text(path.read_text().replace("checkpoint", "check-point"))
    assert "line 2" in problems(run)["events.jsonl"]


def test_a_torn_tail_is_a_problem_and_verifying_changes_nothing(run):
    path = run / "events.jsonl"
    path.write_bytes(path.read_bytes() + b'{"seq"')
    before = path.read_bytes()
    assert "torn" in problems(run)["events.jsonl"]
    assert path.read_bytes() == before


def test_an_empty_folder_proves_nothing(tmp_path):
    assert problems(tmp_path).keys() == {"events.jsonl", "manifest.json"}


def test_a_path_out_of_the_run_folder_is_refused(run):
    (run.parent / "secret").write_text("x")
    with EventLog(run / "events.jsonl") as log:
        log.append("checkpoint", {"files": {"../secret": "00"}})
    assert problems(run) == {"../secret": "lies outside the run folder"}


def test_trajectories_that_no_event_mentions_are_named(run):
    (run / "trajectories").mkdir()
    (run / "trajectories" / "step-000009.parquet").write_bytes(b"made up")
    (detail,) = problems(run).values()
    assert problems(run).keys() == {"trajectories/step-000009.parquet"}
    assert detail.startswith("in no event")


def test_what_is_left_of_the_step_a_run_was_stopped_in_is_no_alteration(run):
    (run / "events.jsonl").unlink()
    with EventLog(run / "events.jsonl") as log:
        log.append("start", {})
    (run / "trajectories").mkdir()
    (run / "trajectories" / "step-000001.parquet").write_bytes(b"half")
    assert not problems(run)
    (left,) = [finding for finding in verify(run) if finding.subject == "trajectories/step-000001.parquet"]
    assert "`practicum resume` does again" in left.detail


def test_a_finished_run_has_no_next_step(run):
    (run / "trajectories").mkdir()
    (run / "trajectories" / "step-000001.parquet").write_bytes(b"made up")
    assert problems(run).keys() == {"trajectories/step-000001.parquet"}


@pytest.mark.parametrize("name", ["recipe.yaml", "output", "output/adapter.safetensors"])
def test_a_link_in_the_place_of_a_file_is_named_though_it_leads_to_the_same(run, tmp_path, name):
    elsewhere = tmp_path / "elsewhere"
    (run / name).rename(elsewhere)
    (run / name).symlink_to(elsewhere)
    subject = name.partition("/")[0]
    assert problems(run) == {subject: f"a link stands in its place: {name}"}
