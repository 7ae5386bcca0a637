"""`{% load realtime %}`: what the tags write into a page."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Group, User
from django.core.exceptions import ImproperlyConfigured
from django.template import Context, Template
from django.test import RequestFactory
from django.urls import set_script_prefix
from pytest_django import Settings

from realtime.store.accounts.identity import Identity
from realtime.topics import CommandError, Topic
from realtime.topics.registry import registry
from realtime.topics.signatures import read_signature

MANIFEST = "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"
ADA = User(pk=7, username="ada")


class Page:
    """Renders a tag in the page of a request."""

    def __init__(self, user: Any = ADA) -> None:
        self.request: Any = RequestFactory().get("/")
        self.request.user = user

    def render(self, tag: str, **context: Any) -> str:
        page = Template("{% load realtime %}{% " + tag + " %}")
        return page.render(Context({"request": self.request, **context}))


@pytest.fixture(autouse=True)
def topics() -> Iterator[dict[str, type[Topic]]]:
    """The topic classes of a site."""
    with registry.isolated():

        class UserTopic(Topic):
            path = "user/<int:pk>"
            keep = timedelta(days=1)
            model = User
            pk: int

        class DocumentTopic(Topic):
            path = "document/<str:title>"
            keep = timedelta(days=1)
            title: str

        yield {"user": UserTopic, "document": DocumentTopic}


def test_the_configuration_is_data_in_a_script_element() -> None:
    """A strict content security policy permits it, and no user can end the element."""
    text = Page(User(pk="</script>")).render("realtime_config")
    found = re.fullmatch(
        r'<script id="realtime-config" type="application/json">(.*)</script>', text
    )
    assert found is not None
    assert "<" not in found[1]
    config = json.loads(found[1])
    assert (config["url"], config["user"]) == ("/ws/", "</script>")
    assert config["client"] == "/static/realtime/client.js"


def test_a_site_without_the_static_files_has_a_configuration(settings: Settings) -> None:
    settings.STORAGES = {**settings.STORAGES, "staticfiles": {"BACKEND": MANIFEST}}
    config = json.loads(re.sub("<.*?>", "", Page().render("realtime_config")))
    assert set(config) >= {"url", "user"}
    assert "client" not in config


def test_the_configuration_names_the_user_of_the_page() -> None:
    """As `welcome` does; a guest has no name yet."""
    for user, name in ((ADA, Identity.of(ADA).user_id), (AnonymousUser(), "guest:")):
        found = re.search(r"{.*}", Page(user).render("realtime_config"))
        assert found is not None
        assert json.loads(found[0])["user"] == name


def test_the_configuration_is_below_the_script_name() -> None:
    set_script_prefix("/shop/")
    try:
        assert '"/shop/ws/"' in Page().render("realtime_config")
    finally:
        set_script_prefix("/")


def test_a_topic_is_its_name_and_signature(topics: dict[str, Any]) -> None:
    """Given as a topic, a name or an object of its model."""
    for topic in (topics["user"](pk=7), "user/007", ADA):
        name, signature = Page().render("realtime_topic topic", topic=topic).split(" ")
        assert name == "user/7"
        assert read_signature(signature, name, Identity.of(ADA), "").user_id == "7"


def test_a_name_may_have_spaces_and_quotes(topics: dict[str, Any]) -> None:
    """The signature begins after the last space, and the value stays in its attribute."""
    text = Page().render("realtime_topic topic", topic=topics["document"](title='a "b" c'))
    assert text.startswith("document/a &quot;b&quot; c ")


@pytest.mark.parametrize("tag", ["realtime_topic", "realtime_signature"])
def test_a_missing_variable_is_told(tag: str) -> None:
    with pytest.raises(TypeError, match=f"{tag} %}} needs a topic"):
        Page().render(f"{tag} topik")
    with pytest.raises(CommandError, match="no such topic"):
        Page().render(f"{tag} 'unknown/7'")


def test_an_object_needs_one_class() -> None:
    with pytest.raises(ImproperlyConfigured, match="No topic class is about Group objects"):
        Page().render("realtime_topic group", group=Group(pk=1))

    class OtherTopic(Topic):
        path = "other/<int:pk>"
        model = User

    with pytest.raises(ImproperlyConfigured, match=r"UserTopic and .*OtherTopic are about User"):
        Page().render("realtime_topic user", user=ADA)


@pytest.mark.parametrize("tag", ["realtime_topic 'user/7'", "realtime_config"])
def test_a_page_without_a_request_is_told(tag: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="needs the request"):
        Template("{% load realtime %}{% " + tag + " %}").render(Context())
