"""`{% load realtime %}`: the tags with which a page connects and subscribes to topics."""

from typing import Any

from django import template
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Model
from django.http import HttpRequest
from django.utils.html import json_script

from ..page import page_config, socket_path
from ..topics.registry import registry
from ..topics.topic import Topic

__all__ = ["realtime_config", "realtime_signature", "realtime_socket", "realtime_topic"]

register = template.Library()
CONFIG_ID = "realtime-config"
"""The element that `readConfig` of the browser client reads."""


@register.simple_tag
def realtime_socket() -> str:
    """Return the path of the socket, below the script name: the option `url` of the client."""
    return socket_path()


@register.simple_tag(takes_context=True)
def realtime_config(context: Any) -> str:
    """Return a script element with the options of the client, which `readConfig` reads.

    It holds data and no code, so a content security policy without inline scripts permits it.
    """
    return json_script(page_config(_request(context, "realtime_config")), CONFIG_ID)


@register.simple_tag(takes_context=True)
def realtime_signature(context: Any, topic: Topic | Model | str) -> str:
    """Return the signature of a topic for the page: the option `signature` of `subscribe`."""
    request = _request(context, "realtime_signature")
    return _topic(topic, "realtime_signature").signature(request)


@register.simple_tag(takes_context=True)
def realtime_topic(context: Any, topic: Topic | Model | str) -> str:
    """Return the name of a topic and its signature for the page: the value of `hx-realtime`."""
    request, found = _request(context, "realtime_topic"), _topic(topic, "realtime_topic")
    return f"{found.name} {found.signature(request)}"


def _request(context: Any, tag: str) -> HttpRequest:
    request: HttpRequest | None = context.get("request") or getattr(context, "request", None)
    if request is None:
        raise ImproperlyConfigured(f"{{% {tag} %}} needs the request: render the template with it.")
    return request


def _topic(given: Any, tag: str) -> Topic:
    if isinstance(given, Topic):
        return given
    if isinstance(given, Model):
        return registry.of_object(given)
    if isinstance(given, str) and given:
        return registry.resolve(given)
    raise TypeError(
        f"{{% {tag} %}} needs a topic, its name or a model object, not {given!r}: does the view"
        " pass it to the template?"
    )
