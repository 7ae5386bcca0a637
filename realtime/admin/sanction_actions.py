"""Admin actions against users: kick, ban, mute."""

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

from .. import moderation
from ..models import Room, Sanction
from ..store.accounts.identity import Identity
from ..store.moderation import many
from ..wire.commands import REASON_CHARACTERS
from .confirmation import ConfirmationAdmin

__all__ = [
    "KickForm",
    "RoomForm",
    "RoomSanctionForm",
    "SanctionActionsAdmin",
    "SanctionForm",
    "check_ahead",
    "seconds_until",
]

SanctionTarget = tuple[Room | None, str]
"""A room, or None for the site, and a `user_id`."""


def check_ahead(moment: datetime) -> None:
    """Refuse an end in the past."""
    if moment <= timezone.now():
        raise ValidationError(_("This moment is over."))


def seconds_until(moment: datetime | None) -> float | None:
    """Return the length of a ban or mute that ends at this time; None for no end."""
    return None if moment is None else (moment - timezone.now()).total_seconds()


class RoomForm(forms.Form):
    """The room of a sanction."""

    room = forms.ModelChoiceField(
        label=gettext_lazy("Room"),
        queryset=Room.objects.all(),
        required=False,
        widget=RawId(Sanction._meta.get_field("room").remote_field, admin.site),
        help_text=gettext_lazy("Empty is the whole site."),
    )


class ReasonForm(forms.Form):
    """The reason of a sanction or move, which the user sees."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=REASON_CHARACTERS,
        required=False,
        widget=AdminTextInputWidget,
        help_text=gettext_lazy("The user sees it."),
    )


class SanctionForm(ReasonForm):
    """The end and the reason of a sanction, and whether it includes addresses."""

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
        help_text=gettext_lazy("Also the addresses from which the users are connected now."),
    )
    field_order = ("room", "ends_at", "reason", "by_address")


class KickForm(ReasonForm, RoomForm):
    """The form of a kick; its length is a setting."""


class RoomSanctionForm(SanctionForm, RoomForm):
    """The form of a sanction in one room or on the whole site."""


class SanctionActionsAdmin(ConfirmationAdmin):
    """A list with actions against the users of its rows."""

    def has_sanction_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may ban and mute."""
        return request.user.has_perm("realtime.add_sanction")

    def sanction(
        self,
        request: HttpRequest,
        act: Callable[..., Any],
        targets: Iterable[SanctionTarget],
        form: forms.Form,
    ) -> int:
        """Sanction each of the users once, as the form says; return the number of users."""
        given, people = form.cleaned_data, dict.fromkeys(targets)
        seconds = seconds_until(given["ends_at"]) if "ends_at" in given else None
        addresses: many.Addresses = {}
        if given.get("by_address"):
            addresses = many.addresses_of(user for _, user in people)
            self._warn(request, sum(not addresses[user] for _, user in people))
        return _sanction_many(act, people, addresses, seconds, given["reason"], request)

    def _warn(self, request: HttpRequest, number: int) -> None:
        if number:
            text = ngettext(
                "%d is sanctioned by name alone: the address is unknown, or a proxy's.",
                "%d are sanctioned by name alone: their addresses are unknown, or a proxy's.",
                number,
            )
            self.message_user(request, text % number, messages.WARNING)


def _sanction_many(
    act: Callable[..., Any],
    people: Iterable[SanctionTarget],
    addresses: many.Addresses,
    seconds: float | None,
    reason: str,
    request: HttpRequest,
) -> int:
    """Sanction users room by room, each with a few queries; return how many there were."""
    by, number = Identity.of(request.user), 0
    rooms: dict[Room | None, list[str]] = {}
    for room, user in people:
        rooms.setdefault(room, []).append(user)
    for room, users in rooms.items():
        if act is moderation.kick:
            number += many.kick_users(room, users, reason=reason, by=by)
        else:
            kind = Sanction.Kind.BAN if act is moderation.ban else Sanction.Kind.MUTE
            number += many.sanction_users(
                kind.value,
                room,
                users,
                addresses=addresses,
                seconds=seconds,
                reason=reason,
                by=by,
            )
    return number
