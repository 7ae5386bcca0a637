"""`{% load realtime %}`: the tag for the path of the socket."""

from django import template

from ..views import socket_path

__all__ = ["realtime_socket"]

register = template.Library()


@register.simple_tag
def realtime_socket() -> str:
    """Return the path of the socket, below the script name: the option `url` of the client."""
    return socket_path()
