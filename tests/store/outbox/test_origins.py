"""The span of a publish in its nonce, which every version takes for one of the server's own."""

from collections.abc import Iterator

import pytest
from django.utils import timezone

from realtime.models import Pending
from realtime.spans import spans
from realtime.store.logs import MADE_NONCE
from realtime.store.messages.nonces import spent
from realtime.store.outbox.origins import nonce_of, origin_of, with_origin
from realtime.store.topics.drafts import EntryDraft, Kind
from realtime.store.topics.entries import state_of
from tests.traces import Recorded, recorded


@pytest.fixture
def record() -> Iterator[Recorded]:
    with recorded() as found:
        yield found


def test_a_nonce_has_the_span_and_is_unique_in_it(record: Recorded) -> None:
    with spans.publish("t", 2) as span:
        drafts = with_origin([EntryDraft(topic="t"), EntryDraft(topic="t")], span.origin)
        origin = span.origin
    nonces = [str(one.nonce) for one in drafts]
    assert len(set(nonces)) == 2
    for nonce in nonces:
        found = origin_of(nonce)
        assert found is not None
        assert origin is not None
        assert (found.trace_id, found.span_id) == (origin.trace_id, origin.span_id)


def test_the_longest_nonce_fits_its_column(record: Recorded) -> None:
    longest = nonce_of(spans.read(f"00-{'f' * 32}-{'f' * 16}-ff"))
    assert len(longest) <= (Pending._meta.get_field("nonce").max_length or 0)


def test_a_nonce_of_the_site_stays(record: Recorded) -> None:
    with spans.publish("t") as span:
        given = [EntryDraft(topic="t", nonce="mine"), EntryDraft(topic="t", kind=Kind.RIGHTS)]
        assert with_origin(given, span.origin) == given


def test_nobody_is_told_such_a_nonce(record: Recorded) -> None:
    with spans.publish("t") as span:
        assert span.origin is not None
        nonce = nonce_of(span.origin)
    assert nonce.startswith(MADE_NONCE)
    assert spent(1, "1", nonce) == nonce
    assert state_of("paid", "{}", 1, None, False, timezone.now(), nonce).nonce is None


@pytest.mark.parametrize(
    "nonce", [None, "mine", "~0123", "~t", f"~t{'0' * 50}", f"~t{'g' * 50}", f"~t{'1' * 49}"]
)
def test_another_nonce_has_no_span(record: Recorded, nonce: str | None) -> None:
    assert origin_of(nonce) is None


def test_without_a_tracer_no_nonce_is_read() -> None:
    spans.reset()
    assert origin_of(f"~t{'1' * 50}") is None
