"""Tools of a parcel desk, in SOP-Bench's layout and with everything that makes foreign tools hard to repeat."""

import csv
import random
import uuid
from datetime import datetime
from pathlib import Path

import numpy as np

SEEN = []


class Base:
    def process_tool_call(self, tool_name, arguments):
        return getattr(self, tool_name)(**arguments)


class ParcelManager(Base):
    calls = 0

    def __init__(self):
        with Path(__file__).with_name("test_set_with_outputs.csv").open(newline="") as stream:
            self.rows = {row["parcel_id"]: row for row in csv.DictReader(stream)}
        self.drafts = []

    def find_parcel(self, parcel_id):
        SEEN.append(parcel_id)
        ParcelManager.calls += 1
        if parcel_id not in self.rows:
            raise ValueError(f"no parcel {parcel_id}")
        row = self.rows[parcel_id]
        return {"zone": row["zone"], "days_late": np.int64(row["days_late"]), "insured": np.bool_(True)}

    def quote(self, zone, days_late, express=False):
        self.drafts.append(zone)
        return {"allowed": np.float64({"A": 1, "B": 3}[zone]), "rest": float("nan"), "drafts": len(self.drafts)}

    def desk_state(self):
        import time

        return {
            "now": datetime.now().isoformat(),
            "seconds": time.time(),
            "draw": random.random(),
            "array_draw": float(np.random.rand()),
            "reference": str(uuid.uuid4()),
            "seen": len(SEEN),
            "calls": self.calls,
        }
