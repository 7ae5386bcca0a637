"""Admin actions with a page of their own, for a confirmation or a form."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from .large import LargeAdmin, ReadOnlyAdmin

__all__ = ["ActionPageAdmin", "ConfirmForm", "ConfirmationAdmin", "bound_if_submitted"]

MOST = 1000
"""The most rows of one action: more would take too long for a request."""
BATCH = 500
"""The log entries written by one query."""
NAMED = 20
"""The rows that the page lists by name."""

Filled = TypeVar("Filled", bound=forms.BaseForm)


class ConfirmForm(forms.Form):
    """A form without visible fields: submitting it confirms the action."""

    is_sure = forms.BooleanField(widget=forms.HiddenInput, initial=True)


def bound_if_submitted(form: Callable[..., Filled], request: HttpRequest) -> Filled:
    """Return the form with the submitted data, or unbound if its page was not shown yet."""
    given = form(request.POST)
    return given if given.fields.keys() & request.POST.keys() else form()


class ActionPageAdmin(LargeAdmin):
    """A list with actions that need a form, or a confirmation because they cannot be undone."""

    def action_page(
        self,
        request: HttpRequest,
        action: str,
        form: forms.BaseForm,
        *,
        title: Any,
        question: Any,
        about: Sequence[object] = (),
        number: int | None = None,
        kept: Mapping[str, object] | None = None,
        progress: tuple[int, int] | None = None,
    ) -> HttpResponse:
        """Return the page before an action; `about` lists the selected rows, if that helps.

        `number` is how many there are if `about` has only the first ones. The form sends `kept`
        as well. With a `progress`, which is how many of how many are done, the page submits itself.
        """
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "question": question,
            "about": about[:NAMED],
            "more": max((len(about) if number is None else number) - NAMED, 0),
            "kept": kept or {},
            "progress": progress,
            "opts": self.opts,
            "media": self.media + form.media,
            "form": form,
            "action": action,
            "checkbox": ACTION_CHECKBOX_NAME,
            "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
            "select_across": request.POST.get("select_across", "0"),
        }
        return TemplateResponse(request, "admin/realtime/action.html", context)

    def chosen(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        """Return the selected rows; if there are too many, show an error and return none."""
        rows = list(queryset[: MOST + 1])
        if len(rows) <= MOST:
            return rows
        self.message_user(request, _("At most %d at once.") % MOST, messages.ERROR)
        return []

    def note(self, request: HttpRequest, rows: Sequence[Any], entry: str) -> None:
        """Write an entry for each row into the admin's log, with few queries."""
        by: Any = request.user.pk
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            LogEntry.objects.log_actions(
                user_id=by, queryset=batch, action_flag=CHANGE, change_message=entry
            )


class ConfirmationAdmin(ActionPageAdmin, ReadOnlyAdmin):
    """An `ActionPageAdmin` for rows that only the protocol writes."""
