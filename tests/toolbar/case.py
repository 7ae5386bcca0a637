"""What the panel shows of requests; run by tests/test_debug_toolbar.py."""

import re
from typing import Any
from unittest import skipIf
from unittest.mock import patch

from debug_toolbar.settings import PANELS_DEFAULTS
from django.conf import settings
from django.db import connection
from django.test import TransactionTestCase, override_settings

from realtime.debug_toolbar import RealtimePanel
from realtime.models import Log, Room

NO_POSITION = "queued: it has no position yet"
IS_OPEN = "queued: its transaction is open"
MOMENT = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d$"


class PanelTest(TransactionTestCase):
    """Pages of `urls.py`, with what the panel has recorded of each."""

    def setUp(self) -> None:
        Room.objects.create(slug="general")
        self.kept: list[dict[str, Any]] = []
        record = RealtimePanel.record_stats

        def keep(panel: Any, stats: dict[str, Any]) -> None:
            self.kept.append(stats)
            record(panel, stats)

        patched = patch.object(RealtimePanel, "record_stats", keep)
        patched.start()
        self.addCleanup(patched.stop)

    def states(self) -> list[tuple[str, str, int, str]]:
        [found] = self.kept
        return [
            (one["place"], one["name"], one["number"], one["state"])
            for one in found["publications"]
        ]

    def test_the_snippet_of_the_page_adds_the_panel(self) -> None:
        path = "realtime.debug_toolbar.RealtimePanel"
        assert [*PANELS_DEFAULTS, path] == settings.DEBUG_TOOLBAR_PANELS

    def test_a_page_shows_its_topics_and_what_was_published(self) -> None:
        answer = self.client.get("/page/")
        assert self.states() == [
            ("topic", "toolbar/1", 1, "published"),
            ("topic", "toolbar/1", 2, "published"),
            ("room", "general", 1, "published"),
            ("topic", "toolbar/2", 1, "rolled back"),
        ]
        [topic] = self.kept[0]["topics"]
        assert (topic["name"], topic["permits"], topic["seq"]) == ("toolbar/1", False, 3)
        assert re.search(MOMENT, topic["since"])
        self.assertContains(answer, "1 topic, 3 published, 1 rolled back")

    async def test_an_async_page_does_too(self) -> None:
        await self.async_client.get("/apage/")
        assert self.states() == [("topic", "toolbar/1", 1, "published")]
        assert [one["name"] for one in self.kept[0]["topics"]] == ["toolbar/1"]

    def test_a_page_without_anything_asks_the_database_nothing(self) -> None:
        with self.assertNumQueries(0):
            answer = self.client.get("/quiet/")
        assert self.kept == [{"topics": [], "publications": []}]
        self.assertContains(answer, "0 topics, 0 published")

    @skipIf(connection.vendor == "sqlite", "SQLite numbers with the transaction")
    def test_what_waits_for_its_position_is_queued(self) -> None:
        with patch("realtime.store.outbox.pending._number"):
            answer = self.client.get("/page/")
        self.assertContains(answer, "1 topic, 0 published, 3 queued, 1 rolled back")
        states = [state for *_, state in self.states()]
        assert states == [NO_POSITION, NO_POSITION, NO_POSITION, "rolled back"]
        assert not Log.objects.filter(name="toolbar/1", last_seq__gt=0).exists()

    def test_what_an_outer_transaction_holds_is_queued(self) -> None:
        outer = "tests.toolbar.urls.in_open_transaction"
        with override_settings(MIDDLEWARE=[outer, *settings.MIDDLEWARE]):
            self.client.get("/page/")
        assert [state for *_, state in self.states()] == [IS_OPEN, IS_OPEN, IS_OPEN, "rolled back"]

    def test_a_page_that_fails_has_its_panel(self) -> None:
        self.client.raise_request_exception = False
        assert self.client.get("/broken/").status_code == 500
        assert self.states() == [("topic", "toolbar/1", 1, "published")]

    def test_the_panel_is_rendered(self) -> None:
        page = self.client.get("/page/").content.decode()
        found = re.search(r'data-request-id="(\w+)"', page)
        assert found is not None
        query = {"request_id": found[1], "panel_id": "RealtimePanel"}
        content = self.client.get("/__debug__/render_panel/", query).json()["content"]
        for text in ("toolbar/1", "general", "<strong>rolled back</strong>", "shipped"):
            assert text in content, text
