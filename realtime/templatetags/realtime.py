"""`{% load realtime %}`: what a page has to know of the socket."""

from django import template

from ..views import socket_path

__all__ = ["realtime_socket"]

register = template.Library()


@register.simple_tag
def realtime_socket() -> str:
    """The path of the socket, below the script name of the request: the client's option `url`."""
    return socket_path()
