"""Pages on which people come and go, for faults that need them; whoever asks is believed."""

import json
from collections.abc import Callable
from typing import Any

from django.contrib import auth
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.contrib.sessions.models import Session
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from realtime.auth import tickets
from realtime.auth.changes import revoke
from tests.faults._token import token


def make(request: HttpRequest, name: str) -> Any:
    """Somebody new, logged in by the session that is returned, with a ticket of it."""
    user = get_user_model().objects.create_user(name, password="old secret")
    auth.login(request, user)
    ticket = tickets.issue_for(request)
    request.session.save()
    return {"pk": user.pk, "session": request.session.session_key, "ticket": ticket}


def log_in_again(request: HttpRequest, name: str) -> Any:
    """Another session of the same user."""
    auth.login(request, get_user_model().objects.get(username=name))
    return {"session": request.session.session_key}


def ticket_of(request: HttpRequest) -> Any:
    """Another ticket of this session."""
    return {"ticket": tickets.issue_for(request)}


def short_token(request: HttpRequest, name: str) -> Any:
    """A JWT that is good for four seconds."""
    return {"token": token(get_user_model().objects.get(username=name).pk, 4)}


def log_out(request: HttpRequest) -> None:
    auth.logout(request)


def change_password(request: HttpRequest, name: str) -> None:
    user = get_user_model().objects.get(username=name)
    user.set_password("new secret")
    user.save()


def change_own_password(request: HttpRequest) -> None:
    """As Django's own page does: this session goes on, under another key."""
    user: Any = request.user
    user.set_password("new secret")
    user.save()
    auth.update_session_auth_hash(request, user)


def deactivate(request: HttpRequest, name: str) -> None:
    user = get_user_model().objects.get(username=name)
    user.is_active = False
    user.save()


def delete(request: HttpRequest, name: str) -> None:
    get_user_model().objects.get(username=name).delete()


def revoke_token(request: HttpRequest, jti: str, expires_at: float) -> None:
    revoke(jti, expires_at)


def deactivate_silently(request: HttpRequest, name: str) -> None:
    """By a bulk query, of which no signal tells."""
    get_user_model().objects.filter(username=name).update(is_active=False)


def expire_silently(request: HttpRequest, key: str) -> None:
    """As when its time has come."""
    Session.objects.filter(pk=key).update(expire_date=timezone.now())


def regroup(request: HttpRequest, name: str) -> None:
    """Changes what somebody may do, which ends nobody."""
    group, _ = Group.objects.get_or_create(name="any")
    get_user_model().objects.get(username=name).groups.add(group)


DONE: dict[str, Callable[..., Any]] = {
    one.__name__: one
    for one in (
        make,
        log_in_again,
        ticket_of,
        short_token,
        log_out,
        change_password,
        change_own_password,
        deactivate,
        delete,
        revoke_token,
        deactivate_silently,
        expire_silently,
        regroup,
    )
}


@csrf_exempt
def do(request: HttpRequest, what: str) -> JsonResponse:
    return JsonResponse(DONE[what](request, **json.loads(request.body or "{}")) or {})


def blank(request: HttpRequest) -> HttpResponse:
    """Return an empty page, in which a test starts a client."""
    return HttpResponse("<!doctype html><title>blank</title>")


urlpatterns = [path("do/<str:what>", do), path("blank", blank), path("", include("project.urls"))]
