"""A model's process that stood still ends; one that is busy or idle does not."""

import pytest

from python_backends.triton.pauses import LATE_S, LONGEST_S, Pauses


class Process:
    """Its clocks are set by hand."""

    def __init__(self):
        self.now_s, self.computed_s, self.ends = 100.0, 1.0, 0
        self.pauses = Pauses(lambda: self.now_s, lambda: self.computed_s, self.end)

    def end(self):
        self.ends += 1

    def passes(self, seconds, computed_s=0.0):
        self.now_s += seconds
        self.computed_s += computed_s


@pytest.mark.parametrize(
    ("seconds", "computed_s", "ends"),
    [
        (LONGEST_S + 0.1, 0.0, 1),
        (LONGEST_S - 0.1, 0.0, 0),
        (LONGEST_S + 0.1, 1.0, 0),  # it held Python's lock
        (-5.0, 0.0, 0),  # the clock was set back
    ],
)
def test_a_request_in_which_the_process_stood_still_is_not_answered(seconds, computed_s, ends):
    process = Process()
    begun_s = process.pauses.now_s()
    process.passes(seconds, computed_s)
    process.pauses.end_if_paused_since(begun_s)
    assert process.ends == ends


def test_a_long_request_that_is_watched_all_the_time_is_answered():
    process = Process()
    begun_s = process.pauses.now_s()
    for _ in range(50):
        process.passes(0.1)
        process.pauses.look()
    process.pauses.end_if_paused_since(begun_s)
    assert process.ends == 0


@pytest.mark.parametrize(("later_s", "ends"), [(LATE_S / 2, 1), (LATE_S * 1.5, 0)])
def test_a_request_may_have_waited_while_the_process_stood_still(later_s, ends):
    process = Process()
    process.passes(LONGEST_S * 2)
    process.pauses.look()
    process.passes(later_s)
    process.pauses.end_if_paused_since(process.pauses.now_s())
    assert process.ends == ends


def test_a_pause_while_the_model_was_loaded_does_not_count():
    process = Process()
    process.passes(LONGEST_S * 2)
    process.pauses.look()
    process.pauses.forget()
    process.pauses.end_if_paused_since(process.pauses.now_s())
    assert process.ends == 0
