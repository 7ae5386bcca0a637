"""`{% load realtime %}`: the tags for the path of the socket, and for the signature of a topic."""

from typing import Any

from django import template
from django.core.exceptions import ImproperlyConfigured

from ..topics.registry import registry
from ..topics.topic import Topic
from ..views import socket_path

__all__ = ["realtime_signature", "realtime_socket"]

register = template.Library()


@register.simple_tag
def realtime_socket() -> str:
    """Return the path of the socket, below the script name: the option `url` of the client."""
    return socket_path()


@register.simple_tag(takes_context=True)
def realtime_signature(context: Any, topic: Topic | str) -> str:
    """Return the signature of a topic for the page: the option `signature` of `subscribe`."""
    request = context.get("request")
    if request is None:
        raise ImproperlyConfigured(
            "{% realtime_signature %} needs the request: render the template with it, and have the"
            " context processor `request` in the settings."
        )
    found = registry.resolve(topic) if isinstance(topic, str) else topic
    return found.signature(request)
