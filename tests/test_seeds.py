"""Streams of random numbers have names."""

import hashlib
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from practicum.seeds import derive

paths = st.lists(st.one_of(st.integers(0, 10**6), st.sampled_from(["rollout", "retry", "order"])), max_size=4)


@given(st.integers(), paths)
def test_a_seed_is_the_first_63_bits_of_a_hash_of_its_name(seed, path):
    text = "/".join(str(part) for part in [seed, *path])
    expected = int(hashlib.sha256(text.encode()).hexdigest()[:16], 16) // 2
    assert derive(seed, *path) == expected
    assert 0 <= expected < 2**63


def test_streams_differ_from_each_other_and_from_other_runs():
    seeds = {derive(run, name, step) for run in range(20) for name in ("rollout", "order") for step in range(50)}
    assert len(seeds) == 20 * 2 * 50


def test_another_process_with_another_hash_seed_derives_the_same():
    code = "from practicum.seeds import derive; print(derive(7, 'rollout', 3, 'x'))"
    path = ":".join(sys.path)
    for hash_seed in ("0", "12345"):
        environment = {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": path}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert int(done.stdout) == derive(7, "rollout", 3, "x")
