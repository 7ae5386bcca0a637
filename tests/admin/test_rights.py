"""What holds for every page and every action of the package's admin, those to come included."""

from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from django.urls import reverse

MODELS = list(filter(admin.site.is_registered, apps.get_app_config("realtime").get_models()))
each_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)


def changelist(model: type) -> str:
    return reverse(f"admin:realtime_{model.__name__.lower()}_changelist")


@each_model
def test_who_may_only_look_has_no_action(staff: Callable[..., Client], model: Any) -> None:
    client = staff(f"view_{model.__name__.lower()}")
    response = client.get(changelist(model))
    assert response.status_code == 200
    request = RequestFactory().get("/")
    request.user = User.objects.get(username="staff")
    assert admin.site.get_model_admin(model).get_actions(request) == {}


@each_model
def test_every_action_names_a_permission(admin_user: User, model: Any) -> None:
    """Else it would be for all who may look."""
    request = RequestFactory().get("/")
    request.user = admin_user
    actions = admin.site.get_model_admin(model).get_actions(request)
    assert [name for name in actions if not _function(actions[name]).allowed_permissions] == []


def _function(action: Any) -> Any:
    """Return the function of an action: a tuple in Django below 6.1, an object since."""
    return action[0] if isinstance(action, tuple) else action.func


@each_model
def test_nothing_is_shown_or_done_without_a_login(db: None, model: Any) -> None:
    for page in (changelist(model), reverse("admin:index")):
        assert Client().get(page).headers["Location"].startswith("/admin/login/")
        assert Client().post(page, {"action": "x"}).headers["Location"].startswith("/admin/login/")


@each_model
def test_nothing_is_done_for_another_site(admin_user: User, model: Any) -> None:
    """A POST without the form's own token is refused, whatever it asks for."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    assert client.post(changelist(model), {"action": "x"}).status_code == 403
