"""A live service, recorded once: `python examples/recorded_trains.py` writes trains.json beside this file.

From then on the recording answers: `practicum check examples/recorded_trains.py`
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from practicum import Call, Task, score_fields
from practicum.services import CallableSource, RecordedEnvironment, Recorder

City = Annotated[str, Field(max_length=20)]
CITIES = ("Basel", "Chur", "Genf", "Olten", "Visp", "Zug")


def next_train(start: City, end: City) -> dict:
    """the next train between two cities: departure and platform"""  # imagine an HTTP call here
    minutes = len(start) * 7 + len(end) * 3
    return {"departs": f"{8 + minutes % 5}:{minutes % 60:02d}", "platform": 1 + minutes % 9}


class Trains(RecordedEnvironment):
    """When does the train leave?"""

    id, version = "trains", "1.0.0"
    recording = "trains.json"

    def system_prompt(self, task):
        return 'Look the train up, then answer only with <final_output>{"departs":…,"platform":…}</final_output>'

    def tasks(self, split):
        pairs = [(a, b) for a in CITIES for b in CITIES if a != b]
        part = {"train": pairs[:20], "validation": pairs[20:25], "test": pairs[25:]}[split]
        return [Task(f"{a}-{b}", f"When does the train from {a} to {b} leave?", next_train(a, b)) for a, b in part]

    def oracle(self, task):
        start, _, end = task.id.partition("-")
        train = yield Call("next_train", {"start": start, "end": end})
        return f'<final_output>{{"departs":"{train["departs"]}","platform":{train["platform"]}}}</final_output>'


score = score_fields(tag="final_output", exact=True)
reward = score_fields(tag="final_output", partial=True)

if __name__ == "__main__":
    out = Path(__file__).with_name("trains.json")
    with Recorder(CallableSource([next_train]), out, overwrite=True) as record:
        live = Trains(record)
        for split in ("train", "validation", "test"):
            record.play(live, live.tasks(split))
    print(record.saved)
