"""What a load balancer asks."""

from typing import Any

import pytest
from django.test import AsyncClient, Client

from realtime.engine import health
from realtime.engine.engine import Engine

pytestmark = pytest.mark.urls("project.urls")


async def asked(name: str) -> tuple[int, dict[str, Any]]:
    response = await AsyncClient().get(f"/realtime/{name}/")
    assert response["Cache-Control"].startswith("max-age=0, no-cache, no-store")
    return response.status_code, response.json()


async def test_a_process_that_turns_is_alive(engine: Engine) -> None:
    assert await asked("live") == (200, {"status": "ok"})


async def test_a_process_is_ready_when_its_database_answers(engine: Engine) -> None:
    assert await asked("ready") == (
        200,
        {"status": "ok", "database": True, "layer": True, "connections": 0},
    )


async def test_a_process_that_ends_takes_nobody(engine: Engine) -> None:
    engine.is_stopping = True
    status, told = await asked("ready")
    assert (status, told["status"]) == (503, "stopping")
    assert (await asked("live"))[0] == 200


async def test_a_process_that_drains_takes_nobody(engine: Engine) -> None:
    engine.draining.start(10)
    status, told = await asked("ready")
    assert (status, told["status"]) == (503, "draining")
    engine.draining.stop()
    assert (await asked("ready"))[0] == 200


async def test_without_a_database_nobody_is_served(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise health.DatabaseError

    monkeypatch.setattr(health, "_query", fail)
    status, told = await asked("ready")
    assert (status, told["status"], told["database"]) == (503, "unavailable", False)


async def test_redis_away_is_told_but_no_reason_to_go_elsewhere(engine: Engine) -> None:
    engine.hub.layer.is_away = True
    status, told = await asked("ready")
    assert (status, told["layer"]) == (200, False)


@pytest.mark.django_db
def test_a_process_without_connections_answers_too() -> None:
    """Also one that only serves pages, under WSGI."""
    assert Client().get("/realtime/ready/").status_code == 200
