"""Which messages a loop has got, against a plain set."""

from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.client.seen import Seen
from tests.examples import examples


@given(st.integers(0, 30), st.lists(st.integers(1, 60)))
@settings(deadline=None, max_examples=examples(300))
def test_each_message_is_new_once(begin: int, seqs: list[int]) -> None:
    seen, plain = Seen(begin), set(range(begin + 1))
    for seq in seqs:
        assert seen.add(seq) is (seq not in plain)
        plain.add(seq)
    ends = sum(one + 1 not in plain for one in plain)
    assert len(seen) == ends


def test_messages_one_after_the_other_are_one_range() -> None:
    seen = Seen(0)
    assert all(seen.add(seq) for seq in range(1, 100_000))
    assert len(seen) == 1
