"""The forms of notices to clients, rooms and all."""

from django import forms
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

__all__ = ["UNREACHABLE", "ClientNoticeForm", "NoticeForm", "may_control"]

UNREACHABLE = _("The other server processes cannot be reached now.")


class NoticeForm(forms.Form):
    """The text and the level of a notice."""

    text = forms.CharField(
        label=_("Text"), max_length=1000, widget=forms.Textarea(attrs={"rows": 3, "cols": 60})
    )
    level = forms.ChoiceField(
        label=_("Level"),
        choices=[("info", _("info")), ("warning", _("warning")), ("error", _("error"))],
    )


class ClientNoticeForm(NoticeForm):
    """The notice for the selected clients, or for all clients of the site."""

    is_for_all = forms.BooleanField(
        label=_("To all clients"),
        required=False,
        help_text=_("All clients of the site see it, not only the selected ones."),
    )


def may_control(request: HttpRequest) -> bool:
    """Return whether the user of the request may disconnect and notify clients."""
    return request.user.has_perm("realtime.change_connection")
