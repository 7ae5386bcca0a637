"""The form of moves from a room to another one."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import ForeignKeyRawIdWidget as RawId
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from ..models import Room, Sanction
from .sanction_actions import ReasonForm

__all__ = ["MoveForm"]


if TYPE_CHECKING:
    ModelChoiceField = forms.ModelChoiceField[Room]
else:
    ModelChoiceField = forms.ModelChoiceField


class RoomField(ModelChoiceField):
    """A room that is not direct, chosen in the list of rooms."""

    def __init__(self, label: Any, **options: Any) -> None:
        rooms = Room.objects.exclude(kind=Room.Kind.DIRECT)
        widget = RawId(Sanction._meta.get_field("room").remote_field, admin.site)
        super().__init__(rooms, label=label, widget=widget, **options)


class MoveForm(ReasonForm):
    """The room that the users leave, and the one that they join."""

    room = RoomField(_("From room"))
    to = RoomField(
        _("To room"), help_text=_("The users become members of it, if it is a private room.")
    )
    ends_membership = forms.BooleanField(
        label=_("End the membership of the first room"),
        required=False,
        help_text=_("Owners and moderators keep theirs."),
    )
    field_order = ("room", "to", "reason", "ends_membership")

    def clean(self) -> dict[str, Any]:
        """Refuse a move from a room to itself."""
        found = super().clean() or self.cleaned_data
        if found.get("room") is not None and found.get("room") == found.get("to"):
            raise ValidationError(_("Choose two different rooms."))
        return found
