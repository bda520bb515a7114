"""The example of a recording is what its own script records."""

import importlib.util
import sys
from pathlib import Path

from practicum.services import CallableSource, Recorder

EXAMPLE = Path(__file__).parents[2] / "examples" / "recorded_trains.py"


def test_the_examples_recording_is_reproduced_byte_for_byte(tmp_path):
    spec = importlib.util.spec_from_file_location("recorded_trains", EXAMPLE)
    trains = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = trains
    spec.loader.exec_module(trains)
    with Recorder(CallableSource([trains.next_train]), tmp_path / "trains.json") as record:
        live = trains.Trains(record)
        assert sum(record.play(live, live.tasks(split)) for split in ("test", "validation", "train")) == 30
    assert (tmp_path / "trains.json").read_text() == EXAMPLE.with_name("trains.json").read_text()
