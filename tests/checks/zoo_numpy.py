"""Environments that touch what is not theirs by way of NumPy and pandas."""

import numpy as np
from shelf import Counting

from practicum import score_fields, tool

CODE = "ENV-HERMETIC"
score = score_fields(tag="final_output", exact=True)


class NumpyGlobal(Counting):
    @tool
    def more(self) -> int:
        return int(np.random.randint(10))  # fault


class NumpyWithoutSeed(Counting):
    @tool
    def more(self) -> int:
        return int(np.random.default_rng().integers(10))  # fault


class ClockOfNumpy(Counting):
    @tool
    def more(self) -> str:
        return str(np.datetime64("now"))[:10]  # fault


class ClockOfPandas(Counting):
    @tool
    def more(self) -> int:
        import pandas as pd

        return pd.Timestamp.now().year  # fault
