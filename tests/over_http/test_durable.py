"""Rooms and topics, read as durable streams: offsets, long polls, events, and rights."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from harness.client.encoding import Object
from realtime import moderation, push
from realtime.engine.delivery import catchup, entry_catchup
from realtime.models import Membership, Room
from realtime.over_http import PlainHttp, durable_request, line, response
from realtime.over_http.durable_read import DurableRead
from realtime.over_http.durable_request import DurableRequest
from realtime.over_http.durable_response import NO_REPLY
from realtime.store.topics import retention
from realtime.topics import Event, Topic
from tests.over_http.http_client import Exchange

Headers = dict[str, str]
ROOM = "/realtime/streams/room/general"
BELL = "/realtime/streams/topic/bell/1"


class Struck(Event):
    """An event."""

    times: int


class BellTopic(Topic):
    """A topic that anybody may read."""

    path = "bell/<int:pk>"
    events = [Struck]
    keep = timedelta(days=1)
    pk: int

    def may_subscribe(self) -> bool:
        return self.pk < 10


async def read(
    site: PlainHttp, headers: Headers, query: str = "", path: str = ROOM, **more: Any
) -> Exchange:
    exchange = Exchange(site, query, path)
    exchange.start(headers=headers | {"content-type": ""}, method=more.pop("method", "GET"), **more)
    await exchange.ended_raw()
    return exchange


def items(exchange: Exchange) -> list[Object]:
    found: list[Object] = json.loads(exchange.body or b"[]")
    return found


def offset(exchange: Exchange) -> str:
    return exchange.headers["stream-next-offset"]


def contents(exchange: Exchange) -> list[str]:
    return [one["content"] for one in items(exchange)]


async def say(*texts: str) -> None:
    for text in texts:
        await push.room("general").amessage(text, username="CI")


async def test_a_stream_is_read_from_the_beginning_and_from_an_offset(
    site: PlainHttp, guest: Headers
) -> None:
    """Each response names the offset of the next one."""
    await say("a", "b")
    first = await read(site, guest, "offset=-1")
    assert (first.status, contents(first)) == (200, ["a", "b"])
    assert first.headers["stream-up-to-date"] == "true"
    assert first.headers["content-type"] == "application/json"
    assert first.headers["cache-control"] == "private, no-cache"
    await say("c")
    second = await read(site, guest, f"offset={offset(first)}")
    assert contents(second) == ["c"]
    third = await read(site, guest, f"offset={offset(second)}")
    assert (contents(third), offset(third)) == ([], offset(second))


async def test_a_long_stream_is_read_by_pages(site: PlainHttp, guest: Headers) -> None:
    """Only the last one says that the client has all."""
    await say(*(str(number) for number in range(130)))
    first = await read(site, guest)
    assert "stream-up-to-date" not in first.headers
    rest = await read(site, guest, f"offset={offset(first)}")
    assert contents(first) + contents(rest) == [str(number) for number in range(130)]
    assert rest.headers["stream-up-to-date"] == "true"


async def test_now_is_the_end_of_the_log(site: PlainHttp, guest: Headers) -> None:
    """And so is what HEAD says."""
    await say("a")
    now = await read(site, guest, "offset=now")
    assert items(now) == []
    head = await read(site, guest, method="HEAD")
    assert (head.body, offset(head)) == (b"", offset(now))
    await say("b")
    assert contents(await read(site, guest, f"offset={offset(now)}")) == ["b"]


async def test_a_response_that_is_known_is_not_sent_again(site: PlainHttp, guest: Headers) -> None:
    """By its ETag."""
    await say("a")
    first = await read(site, guest, "offset=-1")
    again = await read(site, guest | {"if-none-match": first.headers["etag"]}, "offset=-1")
    assert (again.status, again.body) == (304, b"")
    await say("b")
    changed = await read(site, guest | {"if-none-match": first.headers["etag"]}, "offset=-1")
    assert changed.status == 200


async def test_a_long_poll_brings_the_next_events(site: PlainHttp, guest: Headers) -> None:
    """What was missed at once, and else what comes."""
    await say("a")
    start = offset(await read(site, guest, "offset=now"))
    await say("b")
    missed = await read(site, guest, f"offset={start}&live=long-poll")
    assert contents(missed) == ["b"]
    waiting = Exchange(site, f"offset={offset(missed)}&live=long-poll", ROOM)
    waiting.start(headers=guest | {"content-type": ""}, method="GET")
    await say("c")
    await waiting.ended_raw()
    assert contents(waiting) == ["c"]
    assert int(waiting.headers["stream-cursor"]) > 0


async def test_a_long_poll_without_events_ends_empty(
    site: PlainHttp, guest: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same offset, and a later cursor than the client's."""
    monkeypatch.setattr(line, "_seconds", lambda request: 0.1)
    start = offset(await read(site, guest, "offset=now"))
    empty = await read(site, guest, f"offset={start}&live=long-poll&cursor=99999999999")
    assert (empty.status, empty.body, offset(empty)) == (204, b"", start)
    assert int(empty.headers["stream-cursor"]) == 100_000_000_000


@pytest.mark.parametrize("path", [ROOM, BELL])
async def test_a_long_poll_from_the_beginning_waits_for_the_first_event(
    site: PlainHttp, guest: Headers, path: str
) -> None:
    """An empty log is no reason to answer at once: its client would ask again and again."""
    waiting = Exchange(site, "offset=-1&live=long-poll", path)
    waiting.start(headers=guest | {"content-type": ""}, method="GET")
    for _ in range(2):
        await read(site, guest, "offset=now")
    assert waiting.status is None
    await say("a")
    await BellTopic(pk=1).apublish(Struck(times=1))
    await waiting.ended_raw()
    assert (waiting.status, len(items(waiting))) == (200, 1)


async def test_events_of_the_server_have_their_offset(site: PlainHttp, guest: Headers) -> None:
    """After each event, from where to go on."""
    start = offset(await read(site, guest, "offset=now"))
    stream = Exchange(site, f"offset={start}&live=sse", ROOM)
    stream.start(headers=guest | {"content-type": ""}, method="GET")
    await stream.until_text("upToDate")
    await say("a")
    await stream.until_text('"content":"a"')
    await stream.until_text("0000000000000001_")
    stream.leave()
    await stream.ended_raw()
    assert stream.headers["content-type"] == "text/event-stream"
    assert b"event: data\ndata:[" in stream.body
    assert b"event: control\ndata:{" in stream.body


@pytest.mark.parametrize("live", ["", "&live=long-poll", "&live=sse"])
async def test_an_offset_of_another_history_is_gone(
    site: PlainHttp, guest: Headers, live: str
) -> None:
    """And so is one beyond the end."""
    await say("a")
    epoch = offset(await read(site, guest, "offset=now")).partition("_")[2]
    assert (await read(site, guest, f"offset={1:016d}_other{live}")).status == 410
    assert (await read(site, guest, f"offset={9:016d}_{epoch}{live}")).status == 410


@pytest.mark.parametrize(
    "query",
    [
        "offset=x",
        "offset=",
        "offset=1_e",
        f"offset={'9' * 16}_e",
        "live=sse",
        "offset=-1&live=x",
        "offset=-1&offset=-1",
        "offset=%00",
    ],
)
async def test_a_wrong_address_is_refused(site: PlainHttp, guest: Headers, query: str) -> None:
    """With an error that says what to write."""
    refused = await read(site, guest, query)
    assert refused.status == 400
    assert json.loads(refused.body)["code"] == "invalid_message"


async def test_a_stream_that_may_not_be_read_is_not_found(
    site: PlainHttp, guest: Headers, private: Room
) -> None:
    """The rights are those of a join and of a subscription."""
    for path in ("room/secret", "room/none", "topic/bell/11", "topic/none"):
        for query in (
            "offset=-1",
            f"offset={0:016d}_&live=long-poll",
            f"offset={0:016d}_&live=sse",
        ):
            found = await read(site, guest, query, path=f"/realtime/streams/{path}")
            assert found.status == 404, (path, query, found.body)


async def test_a_right_that_ends_ends_the_stream(
    site: PlainHttp, user: Headers, ada: Any, room: Room
) -> None:
    """As the subscription of a socket."""
    start = offset(await read(site, user, "offset=now"))
    stream = Exchange(site, f"offset={start}&live=sse", ROOM)
    stream.start(headers=user | {"content-type": ""}, method="GET")
    await stream.until_text("upToDate")
    await moderation.aban(room, ada, by=None)
    await stream.ended_raw()
    assert (await read(site, user, f"offset={start}")).status == 403


async def test_a_topic_is_read_with_its_values(site: PlainHttp, guest: Headers) -> None:
    """A value that was replaced has its new position."""
    topic, path = BellTopic(pk=1), "/realtime/streams/topic/bell/1"
    empty = await read(site, guest, "offset=-1", path=path)
    assert (items(empty), offset(empty)) == ([], f"{0:016d}_")
    await topic.apublish(Struck(times=3))
    await topic.aset("last", Struck(times=4))
    found = await read(site, guest, f"offset={offset(empty)}", path=path)
    assert [(one["name"], one.get("key"), one["data"]) for one in items(found)] == [
        ("struck", None, {"times": 3}),
        ("struck", "last", {"times": 4}),
    ]
    waiting = Exchange(site, f"offset={offset(found)}&live=long-poll", path)
    waiting.start(headers=guest | {"content-type": ""}, method="GET")
    await topic.aset("last", Struck(times=5))
    await waiting.ended_raw()
    assert [one["data"] for one in items(waiting)] == [{"times": 5}]


async def test_nobody_writes(site: PlainHttp, guest: Headers) -> None:
    """Other methods are for the pages, whose view refuses them."""
    for method in ("PUT", "POST", "DELETE"):
        assert (await read(site, guest, method=method)).status == 299


async def test_events_of_the_server_may_begin_without_an_offset(
    site: PlainHttp, guest: Headers
) -> None:
    """In a room it ends with a first page, and the offset from which to go on."""
    await say("a")
    stream = await read(site, guest, "offset=-1&live=sse")
    assert stream.headers["content-type"] == "text/event-stream"
    assert b'"content":"a"' in stream.body
    assert b"0000000000000001_" in stream.body.partition(b"event: control")[2]


async def test_events_of_a_topic_go_on_after_those_from_the_beginning(
    site: PlainHttp, guest: Headers
) -> None:
    """The stream of an empty room goes on as well."""
    topic = BellTopic(pk=1)
    await topic.apublish(Struck(times=1))
    for path, text in ((BELL, '{"times":2}'), (ROOM, '"content":"a"')):
        stream = Exchange(site, "offset=-1&live=sse", path)
        stream.start(headers=guest | {"content-type": ""}, method="GET")
        await stream.until_text("upToDate")
        await say("a")
        await topic.apublish(Struck(times=2))
        await stream.until_text(text)
        stream.leave()
        await stream.ended_raw()


@pytest.mark.parametrize("live", ["", "&live=long-poll", "&live=sse"])
async def test_the_end_of_an_emptied_log_is_an_offset(
    site: PlainHttp, guest: Headers, live: str
) -> None:
    """All its entries were purged; what comes then follows this offset."""
    topic = BellTopic(pk=1)
    await topic.apublish(Struck(times=1))
    await sync_to_async(list)(retention.purge("bell/1", timezone.now() + timedelta(days=2)))
    found = await read(site, guest, f"offset=-1{live}", path=BELL)
    reached = re.findall(r"\d{16}_\w+", f"{found.headers} {found.body.decode()}")[0]
    await topic.apublish(Struck(times=2))
    rest = await read(site, guest, f"offset={reached}", path=BELL)
    assert [one["data"] for one in items(rest)] == [{"times": 2}]


@pytest.mark.parametrize("live", ["", "&live=long-poll", "&live=sse"])
async def test_a_read_without_a_reply_says_so(
    site: PlainHttp, guest: Headers, live: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no offset that is lost: the same one may be read again."""
    monkeypatch.setattr(DurableRead, "_take_reply", lambda self, frame: None)
    monkeypatch.setattr(line, "_seconds", lambda request: 0.1)
    found = await read(site, guest, f"offset={0:016d}_{live}", path=BELL)
    error = json.loads(found.body)
    assert (found.status, error["code"]) == (503, "unavailable")
    assert error["message"] == str(NO_REPLY)
    assert found.headers["retry-after"] == "1"


async def test_a_long_poll_from_now_waits_for_the_next_event(
    site: PlainHttp, guest: Headers
) -> None:
    """And what was there before is not told."""
    await say("a")
    waiting = Exchange(site, "offset=now&live=long-poll", ROOM)
    waiting.start(headers=guest | {"content-type": ""}, method="GET")
    sent: list[str] = []
    while waiting.status is None:
        sent.append(str(len(sent)))
        await say(sent[-1])
    await waiting.ended_raw()
    assert waiting.headers["stream-up-to-date"] == "true"
    rest = await read(site, guest, f"offset={offset(waiting)}")
    told = contents(waiting) + contents(rest)
    assert contents(waiting)
    assert told == sent[-len(told) :]


async def test_a_long_poll_from_now_tells_no_value_of_before(
    site: PlainHttp, guest: Headers
) -> None:
    """A subscription has them."""
    topic = BellTopic(pk=1)
    await topic.aset("last", Struck(times=1))
    waiting = Exchange(site, "offset=now&live=long-poll", "/realtime/streams/topic/bell/1")
    waiting.start(headers=guest | {"content-type": ""}, method="GET")
    while waiting.status is None:
        await topic.aset("last", Struck(times=2))
    await waiting.ended_raw()
    assert [one["data"] for one in items(waiting)] == [{"times": 2}] * len(items(waiting))


async def test_a_long_poll_from_now_ends_empty_at_the_end_of_the_log(
    site: PlainHttp, guest: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So its client has an offset to go on from."""
    monkeypatch.setattr(durable_request, "POLL_SECONDS", 0.1)
    await say("a")
    start = offset(await read(site, guest, "offset=now"))
    empty = await read(site, guest, "offset=now&live=long-poll")
    assert (empty.status, offset(empty)) == (204, start)


async def test_events_of_the_server_may_begin_now(site: PlainHttp, guest: Headers) -> None:
    """The stream goes on, and what was there before is not told."""
    await say("a")
    stream = Exchange(site, "offset=now&live=sse", ROOM)
    stream.start(headers=guest | {"content-type": ""}, method="GET")
    await stream.until_text("upToDate")
    await say("b")
    await stream.until_text('"content":"b"')
    stream.leave()
    await stream.ended_raw()
    assert b'"content":"a"' not in stream.body


async def test_a_stream_says_who_may_keep_and_embed_it(site: PlainHttp, guest: Headers) -> None:
    """No cache keeps the end of a log, and no page of another origin embeds it."""
    now = await read(site, guest, "offset=now")
    head = await read(site, guest, method="HEAD")
    assert now.headers["cache-control"] == head.headers["cache-control"] == "no-store"
    assert head.headers["cross-origin-resource-policy"] == "same-origin"
    assert head.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("live", ["long-poll", "sse"])
async def test_a_live_read_that_is_far_behind_gets_the_next_page(
    site: PlainHttp, guest: Headers, monkeypatch: pytest.MonkeyPatch, live: str
) -> None:
    """Its offset is in the log, so nothing is gone; it reads on at once."""
    monkeypatch.setattr(catchup, "RESUME_STATES", 3)
    await say("0")
    start = offset(await read(site, guest, "offset=-1"))
    await say(*map(str, range(1, 7)))
    found = await read(site, guest, f"offset={start}&live={live}")
    assert found.status == 200
    assert [f'"content":"{number}"' in found.body.decode() for number in range(1, 7)] == [True] * 6
    assert f"{7:016d}_" in (found.body.decode() if live == "sse" else offset(found))


async def test_a_stream_of_events_ends_where_a_page_ends(
    site: PlainHttp, guest: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the client reads the next page at once."""
    monkeypatch.setattr(entry_catchup, "PAGE_STATES", 3)
    topic, path = BellTopic(pk=1), "/realtime/streams/topic/bell/1"
    await topic.apublish(Struck(times=0))
    start = offset(await read(site, guest, "offset=-1", path=path))
    await topic.apublish_many(Struck(times=number) for number in range(1, 7))
    stream = await read(site, guest, f"offset={start}&live=sse", path=path)
    assert b'{"times":3}' in stream.body
    assert b"upToDate" not in stream.body


async def test_a_stream_of_events_ends_after_so_many_bytes(
    site: PlainHttp, guest: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that buffers without limit would otherwise keep them all."""
    monkeypatch.setattr(response, "STREAM_BYTES", 4000)
    start = offset(await read(site, guest, "offset=now"))
    stream = Exchange(site, f"offset={start}&live=sse", ROOM)
    stream.start(headers=guest | {"content-type": ""}, method="GET")
    await stream.until_text("upToDate")
    for number in range(20):
        await say(f"{number} {'x' * 500}")
    await stream.ended_raw()
    assert 4000 <= len(stream.body) < 6000


@pytest.mark.parametrize("site_of_page", ["cross-site", "same-site"])
@pytest.mark.parametrize("query", ["offset=-1", f"offset={0:016d}_&live=sse"])
async def test_a_link_on_another_site_enters_no_room(
    site: PlainHttp, user: Headers, room: Room, ada: Any, site_of_page: str, query: str
) -> None:
    """The browser sends the cookie with it, and no origin."""
    link = {"cookie": user["cookie"], "sec-fetch-site": site_of_page}
    refused = await read(site, link, query)
    assert (refused.status, json.loads(refused.body)["code"]) == (403, "permission_denied")
    assert not await Membership.objects.filter(user=ada).aexists()


@pytest.mark.parametrize(
    "more", [{"sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}, {}]
)
async def test_a_page_of_the_site_reads_with_its_cookie(
    site: PlainHttp, user: Headers, more: Headers
) -> None:
    """A browser sends no origin with it either, and a program says nothing of a site."""
    assert (await read(site, {"cookie": user["cookie"], **more})).status == 200


def test_an_event_is_made_once_for_all_readers() -> None:
    """And the reply to each reader by itself, because no other one gets it."""
    reads = []
    for _ in range(2):
        scope = {"method": "GET", "query_string": b"offset=now&live=sse", "headers": []}
        reads.append(DurableRead(DurableRequest.of(scope, "room", "general")))
        reads[-1].take('{"type":"joined","ref":1,"through":3,"epoch":"e"}')
        reads[-1].take('{"type":"message","room":"general","seq":4,"content":"a"}')
    [[first], [second]] = [read.taken() for read in reads]
    assert first.json is second.json
    assert bytes(first.json) == b'{"seq":4,"content":"a"}'


def test_a_read_that_is_refused_for_a_while_says_when_to_come_back() -> None:
    """A thousand reads at once are more than a process can answer in time."""
    scope = {"method": "GET", "query_string": b"offset=-1", "headers": []}
    read = DurableRead(DurableRequest.of(scope, "room", "general"))
    read.take('{"type":"error","ref":1,"code":"unavailable","message":"Busy.","retry_after":2}')
    assert read.refusal is not None
    assert (read.refusal.status, read.refusal.retry_after) == (503, 2)
