"""The signature of a page: what it binds, when it ends, and who may not use it."""

import time
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ImproperlyConfigured
from django.template import Context, Template
from django.test import RequestFactory
from pytest_django.fixtures import Settings

from realtime.auth.guests import new_guest
from realtime.store.accounts.identity import Identity
from realtime.topics import CommandError, Topic, signatures
from realtime.topics.registry import registry
from realtime.topics.signatures import Signature, read_signature

ADA = Identity("7", "ada")


def signed(**more: Any) -> Signature:
    fields = {"topic": "order/7", "user_id": "7", "moment": time.time(), **more}
    return Signature(**fields)


def refusal(text: str, topic: str = "order/7", identity: Identity = ADA) -> tuple[str, str, Any]:
    with pytest.raises(CommandError) as refused:
        read_signature(text, topic, identity, "since.at")
    return refused.value.code, refused.value.message, refused.value.path


def test_a_signature_is_read_as_it_was_made() -> None:
    made = signed(rights=("e", 3))
    assert read_signature(made.text, "order/7", ADA, "signature") == made
    assert read_signature(signed().text, "order/7", ADA, "signature").rights is None


@pytest.mark.parametrize("text", ["", "x", "a:b:c", "é:ü:ß", "W10:1:x", "." * 9, "shortened"])
def test_a_forged_signature_is_refused(text: str) -> None:
    code, message, path = refusal(signed().text[:-1] if text == "shortened" else text)
    assert (code, path) == ("invalid_signature", "since.at")
    assert message == "The signature was not made by this site. Load the page again."


def test_a_signature_is_for_one_topic_and_user() -> None:
    text = signed().text
    assert refusal(text, "order/8")[:2] == (
        "invalid_signature",
        "The signature was made for another topic. Load the page again.",
    )
    assert refusal(text, identity=Identity("8", "bob"))[:2] == (
        "invalid_signature",
        "The signature was made for another user. Load the page again.",
    )
    assert read_signature(signed(user_id="").text, "order/7", Identity("8", "bob"), "signature")


def test_a_signature_expires() -> None:
    old = signed(moment=time.time() - signatures.VALID_SECONDS - 1)
    assert refusal(old.text)[0] == "signature_expired"
    assert not old._replace(rights=("e", 3)).permits(ADA, ("e", 3))


def test_the_secret_may_be_rotated(settings: Settings) -> None:
    text, before = signed().text, settings.SECRET_KEY
    settings.SECRET_KEY = "another"
    assert refusal(text)[0] == "invalid_signature"
    settings.SECRET_KEY_FALLBACKS = [before]
    assert read_signature(text, "order/7", ADA, "signature")


def test_a_token_of_another_purpose_is_no_signature() -> None:
    """Each kind is signed with a salt of its own."""
    from realtime.auth.guests import token_of

    assert refusal(token_of(new_guest()))[0] == "invalid_signature"


@pytest.mark.parametrize(
    ("rights", "current", "permits"),
    [
        (("e", 3), ("e", 3), True),
        (("e", 3), ("e", 4), False),
        (("e", 3), ("f", 3), False),
        (("", 0), ("", 0), True),
        (("", 0), ("e", 0), True),  # the first entry has made the log
        (("", 0), ("e", 1), False),
        (None, ("e", 3), False),
    ],
)
def test_a_change_of_rights_voids_it(rights: Any, current: Any, permits: bool) -> None:
    assert signed(rights=rights).permits(ADA, current) is permits


def test_it_permits_the_user_of_the_page_alone() -> None:
    made = signed(rights=("e", 3))
    assert not made.permits(Identity("8", "bob"), ("e", 3))
    assert not made._replace(user_id="").permits(ADA, ("e", 3))


@pytest.fixture
def order() -> Any:
    with registry.isolated():

        class OrderTopic(Topic):
            path = "order/<int:pk>"
            keep = timedelta(days=1)
            pk: int

        yield OrderTopic(pk=7)


def request_of(user: Any, **environ: Any) -> Any:
    request = RequestFactory().get("/", **environ)
    request.user = user
    return request


def test_the_moment_is_the_begin_of_the_request(order: Any) -> None:
    """Also in ASGI, whose requests have a scope."""
    request = request_of(AnonymousUser())
    signatures._note_begin(environ=request.META)
    began = request.META["realtime.began"]
    request.META["realtime.began"] = began - 5
    made = read_signature(order.signature(request), "order/7", ADA, "")
    assert (made.user_id, made.moment) == ("", began - 5)
    scope: dict[str, Any] = {}
    signatures._note_begin(scope=scope)
    request.scope = {"realtime.began": scope["realtime.began"] - 9}
    made = read_signature(order.signature(request), "order/7", ADA, "")
    assert made.moment == request.scope["realtime.began"]
    assert 10 < time.time() - made.since.timestamp() < 60  # with a margin for clocks


def test_a_template_signs_a_topic(order: Any) -> None:
    page = Template("{% load realtime %}{% realtime_signature topic %}")
    for topic in (order, "order/007"):
        context = Context({"topic": topic, "request": request_of(AnonymousUser())})
        assert read_signature(page.render(context), "order/7", ADA, "").topic == "order/7"
    with pytest.raises(ImproperlyConfigured, match="needs the request"):
        page.render(Context({"topic": order}))


def test_a_class_that_stores_nothing_has_no_moment(order: Any) -> None:
    type(order).keep = None
    with pytest.raises(ImproperlyConfigured, match="has no signatures"):
        order.signature(request_of(AnonymousUser()))
