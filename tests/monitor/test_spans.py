"""A rollout as a trace: what a policy may do that is out of order has its span too."""

import pytest

from practicum.monitor.spans import trace_of
from practicum.trajectory import EnvironmentRef, ToolCall, Trajectory, Turn


@pytest.mark.parametrize("arguments", [{}, None, [1]])
def test_arguments_that_are_no_object_have_their_span(arguments):
    turn = Turn((), {"role": "assistant", "content": ""}, (1,), (2,), (-0.1,), (0,), "tool_calls")
    call = ToolCall("c", "look_up", arguments, "nothing")
    rollout = Trajectory("r", "t", "g", 0, EnvironmentRef("e", "1", "d"), (turn,), (call,), "final", rewards=(0.0,))
    _, spans = trace_of(rollout, "prompt", "run")
    (span,) = [span for span in spans if span.name == "look_up"]
    assert (span.inputs, span.outputs) == (arguments, "nothing")
