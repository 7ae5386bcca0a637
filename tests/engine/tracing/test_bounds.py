"""How many lines a trace has in a second, and what it tells of the others."""

from realtime.engine.tracing.bounds import FRAMES, OTHERS, Bounds, LeftOut


def test_frames_have_so_many_lines_a_second() -> None:
    bounds = Bounds()
    for left in range(FRAMES, 0, -1):
        assert bounds.room_for_frames(10.0) == left
        bounds.admit_frame()
    assert bounds.room_for_frames(10.9) == 0
    assert bounds.room_for_frames(11.0) == FRAMES


def test_other_lines_are_not_pushed_out_by_frames() -> None:
    bounds = Bounds()
    bounds.room_for_frames(10.0)
    for _ in range(FRAMES):
        bounds.admit_frame()
    assert [bounds.admit(10.5) for _ in range(OTHERS + 2)] == [True] * OTHERS + [False] * 2
    assert bounds.left_out == LeftOut(others=2)
    assert bounds.admit(11.5)


def test_what_is_left_out_is_told_once_a_second() -> None:
    bounds = Bounds()
    bounds.leave_received(10)
    bounds.leave_sent(3, 300)
    assert bounds.take(10.0) == LeftOut(1, 10, 3, 300)
    bounds.leave_sent(1, 5)
    assert bounds.take(10.9) is None
    assert bounds.take(11.0) == LeftOut(frames_sent=1, bytes_sent=5)
    assert bounds.take(12.0) is None


def test_the_last_line_does_not_wait() -> None:
    bounds = Bounds()
    bounds.leave_received(1)
    bounds.take(10.0)
    bounds.leave_received(2)
    assert bounds.take(10.1, is_last=True) == LeftOut(1, 2)
