"""Metrics: names that dashboards depend on, and who may read the numbers."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.contrib.auth import get_user_model
from django.http import HttpRequest
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings

from realtime.checks.metrics import check_metrics
from realtime.counts import BOUNDS, counts
from realtime.engine import numbers
from realtime.metrics import METRICS, render
from realtime.worker_numbers import ALONE

DOCS = Path(__file__).parent.parent / "docs"
PAGE = "/realtime/metrics"
SAMPLES = ("", "_bucket", "_sum", "_count")


def may_scrape(request: HttpRequest) -> bool:
    return request.headers.get("X-Scraper") == "yes"


async def may_scrape_later(request: HttpRequest) -> bool:
    return False


def anything(request: HttpRequest) -> Any:
    return [False]


def samples() -> dict[tuple[str, str], float]:
    """The value of each sample by its name and label."""
    text = render({ALONE: numbers.read(None)})[0].decode()
    families = text_string_to_metric_families(text)
    found = [sample for family in families for sample in family.samples]
    return {(one.name, "".join(one.labels.values())): one.value for one in found}


def test_the_numbers_are_what_prometheus_reads() -> None:
    counts.reset()
    counts.closed.update({1000: 2, 4008: 1})
    counts.repairs = 3
    counts.acks.add(0.004)
    counts.acks.add(9.0)
    found = samples()
    assert found["realtime_connections", ""] == 0
    assert found["realtime_connections_closed_total", "4008"] == 1
    assert found["realtime_gaps_repaired_total", ""] == 3
    buckets = [found["realtime_commit_seconds_bucket", str(bound)] for bound in BOUNDS]
    assert buckets == [0.0, 0.0] + [1.0] * 10
    assert found["realtime_commit_seconds_count", ""] == 2
    assert found["realtime_commit_seconds_sum", ""] == 9.004
    counts.reset()


def test_each_worker_has_a_label() -> None:
    """Also those with a label of their own; one that has ended is no process any more."""
    counts.reset()
    counts.closed.update({1000: 2})
    here = numbers.read(None)
    workers = {"0": msgspec.structs.replace(here, node="n0"), "1": here}
    families = text_string_to_metric_families(render(workers)[0].decode())
    found = {family.name: family.samples for family in families}
    assert [one.labels for one in found["realtime_connections"]] == [{"worker": w} for w in "01"]
    closed = [one.labels for one in found["realtime_connections_closed"]]
    assert {"worker": "1", "code": "1000"} in closed
    assert {one.labels["worker"] for one in found["realtime_commit_seconds"]} == {"0", "1"}
    [process] = found["realtime_node_info"]
    assert (process.labels["worker"], process.labels["node"]) == ("0", "n0")
    counts.reset()


def test_the_page_names_each_metric() -> None:
    rows = re.findall(r"^\| `(realtime_\w+)` \| (\w+) \|", (DOCS / "metrics.md").read_text(), re.M)
    assert rows == [(one.name, one.kind) for one in METRICS]


def test_the_dashboard_asks_for_metrics_that_exist() -> None:
    panels = json.loads((DOCS / "grafana.json").read_text())["panels"]
    text = " ".join(target["expr"] for panel in panels for target in panel["targets"])
    asked = set(re.findall(r"\brealtime_\w+", text))
    known = {one.name + end for one in METRICS for end in SAMPLES}
    assert asked <= known
    assert len(asked) > 20
    labels = set(re.findall(r"sum by \((\w+)\)", text)) - {"le"}
    assert labels == {one.label for one in METRICS if one.label}


def test_metrics_are_off_by_default() -> None:
    answer = Client().get(PAGE)
    assert (answer.status_code, b"METRICS" in answer.content) == (404, True)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": "Bearer s3cret"}, 200),
        ({"Authorization": "Bearer s3cre"}, 403),
        ({"Authorization": "Bearer "}, 403),
        ({"Authorization": "s3cret"}, 403),
        ({"Authorization": "Bearer é"}, 403),
        ({}, 403),
    ],
)
def test_a_token_lets_a_scraper_in(
    settings: Settings, headers: dict[str, str], status: int
) -> None:
    settings.REALTIME = {"METRICS": "token", "METRICS_TOKEN": "s3cret"}
    answer = Client().get(PAGE, headers=headers)
    assert (answer.status_code, b"realtime_connections" in answer.content) == (
        status,
        status == 200,
    )


def test_an_empty_token_lets_nobody_in(settings: Settings) -> None:
    settings.REALTIME = {"METRICS": "token"}
    assert Client().get(PAGE, headers={"Authorization": "Bearer "}).status_code == 403


@pytest.mark.django_db(transaction=True)
def test_staff_may_read_them(settings: Settings) -> None:
    settings.REALTIME = {"METRICS": "staff"}
    visitor = Client()
    assert visitor.get(PAGE).status_code == 403
    user: Any = get_user_model().objects.create_user("ada")
    visitor.force_login(user)
    assert visitor.get(PAGE).status_code == 403
    get_user_model().objects.update(is_staff=True)
    assert visitor.get(f"{PAGE}/").status_code == 200
    assert visitor.post(PAGE).status_code == 405


def test_a_function_may_decide(settings: Settings) -> None:
    settings.REALTIME = {"METRICS": f"{__name__}.may_scrape"}
    assert Client().get(PAGE).status_code == 403
    assert Client().get(PAGE, headers={"X-Scraper": "yes"}).status_code == 200


def test_only_true_lets_a_request_in(settings: Settings) -> None:
    """A decorator that is named by mistake returns a view, a coroutine function a coroutine."""
    settings.REALTIME = {"METRICS": f"{__name__}.anything"}
    assert Client().get(PAGE).status_code == 403


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, []),
        ({"METRICS": "staff"}, []),
        ({"METRICS": "token", "METRICS_TOKEN": "s"}, []),
        ({"METRICS": f"{__name__}.may_scrape"}, []),
        ({"METRICS": "token"}, ["realtime.E054"]),
        ({"METRICS": "everybody"}, ["realtime.E054"]),
        ({"METRICS": f"{__name__}.missing"}, ["realtime.E054"]),
        ({"METRICS": f"{__name__}.DOCS"}, ["realtime.E054"]),
        ({"METRICS": f"{__name__}.may_scrape_later"}, ["realtime.E054"]),
        ({"METRICS": ".."}, ["realtime.E054"]),
    ],
)
def test_a_mistake_in_the_setting_is_found(
    settings: Settings, given: dict[str, str], found: list[str]
) -> None:
    settings.REALTIME = given
    assert [one.id for one in check_metrics()] == found


def test_the_missing_extra_is_found(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.REALTIME = {"METRICS": "staff"}
    monkeypatch.setattr("realtime.checks.metrics.find_spec", lambda name: None)
    assert [one.id for one in check_metrics()] == ["realtime.E055"]
