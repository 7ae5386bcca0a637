"""Actions against people: to put out, to keep out, to keep quiet."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.widgets import AdminSplitDateTime, AdminTextInputWidget
from django.contrib.admin.widgets import ForeignKeyRawIdWidget as RawId
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from ..models import Room, Sanction
from ..store.moderation.actions import addresses_of
from ..wire.commands import REASON_CHARACTERS
from .confirmation import ConfirmationAdmin

__all__ = [
    "KickForm",
    "RoomForm",
    "RoomSentenceForm",
    "SanctionActionsAdmin",
    "SanctionForm",
    "check_ahead",
    "seconds_until",
]

Whom = tuple[Room | None, str]
"""A room, or None for the site, and a `user_id`."""


def check_ahead(moment: datetime) -> None:
    """Refuse an end that has come already."""
    if moment <= timezone.now():
        raise ValidationError(_("This moment is over."))


def seconds_until(moment: datetime | None) -> float | None:
    """As bans and mutes are given."""
    return None if moment is None else (moment - timezone.now()).total_seconds()


class RoomForm(forms.Form):
    """Where."""

    room = forms.ModelChoiceField(
        label=gettext_lazy("Room"),
        queryset=Room.objects.all(),
        required=False,
        widget=RawId(Sanction._meta.get_field("room").remote_field, admin.site),
        help_text=gettext_lazy("Empty is the whole site."),
    )


class ReasonForm(forms.Form):
    """Why; they are told."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=REASON_CHARACTERS,
        required=False,
        widget=AdminTextInputWidget,
        help_text=gettext_lazy("They are told."),
    )


class SanctionForm(ReasonForm):
    """For how long, and whether their addresses are meant as well."""

    ends_at = forms.SplitDateTimeField(
        label=gettext_lazy("Until"),
        required=False,
        widget=AdminSplitDateTime,
        validators=[check_ahead],
        help_text=gettext_lazy("Empty is for good."),
    )
    by_address = forms.BooleanField(
        label=gettext_lazy("Also by address"),
        required=False,
        help_text=gettext_lazy("Whoever comes from where they are connected from now."),
    )
    field_order = ("room", "ends_at", "reason", "by_address")


class KickForm(ReasonForm, RoomForm):
    """What putting out takes; how long it lasts is a setting."""


class RoomSentenceForm(SanctionForm, RoomForm):
    """A sentence that may be for one room."""


class SanctionActionsAdmin(ConfirmationAdmin):
    """Rows with people behind them."""

    def has_sanction_permission(self, request: HttpRequest) -> bool:
        """Whether somebody may ban and mute."""
        return request.user.has_perm("realtime.add_sanction")

    def sanction(
        self,
        request: HttpRequest,
        act: Callable[..., Any],
        whom: Iterable[Whom],
        form: forms.Form,
    ) -> int:
        """Do to each of them, once, what a form of these says; return to how many."""
        given, people = form.cleaned_data, dict.fromkeys(whom)
        more: dict[str, Any] = {"reason": given["reason"], "by": request.user}
        if "ends_at" in given:
            more["seconds"] = seconds_until(given["ends_at"])
        is_by_name = 0
        for room, user in people:
            if given.get("by_address"):
                more["addresses"] = addresses_of(user)
                is_by_name += not more["addresses"]
            act(room, user, **more)
        self._warn(request, is_by_name)
        return len(people)

    def _warn(self, request: HttpRequest, number: int) -> None:
        if number:
            text = ngettext(
                "%d is meant by name alone: the address is unknown, or may be a proxy's.",
                "%d are meant by name alone: their addresses are unknown, or may be a proxy's.",
                number,
            )
            self.message_user(request, text % number, messages.WARNING)
