"""Actions that ask before they act, on a page of their own."""

from collections.abc import Sequence
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

__all__ = ["Asking", "ConfirmForm", "ConfirmationAdmin", "bound_if_submitted"]

MOST = 1000
"""Rows that one action takes: more would outlast a request."""
BATCH = 500
"""Entries in the log that one query writes."""
NAMED = 20
"""Rows that the page names."""

Filled = TypeVar("Filled", bound=forms.BaseForm)


class ConfirmForm(forms.Form):
    """Nothing to fill in: to be sure is enough."""

    is_sure = forms.BooleanField(widget=forms.HiddenInput, initial=True)


def bound_if_submitted(form: type[Filled], request: HttpRequest) -> Filled:
    """The form with what its page has sent; without any, where that was not shown yet."""
    given = form(request.POST)
    return given if given.fields.keys() & request.POST.keys() else form()


class Asking(LargeAdmin):
    """Rows with actions that need to know how, or that cannot be taken back."""

    def ask(
        self,
        request: HttpRequest,
        action: str,
        form: forms.BaseForm,
        *,
        title: Any,
        question: Any,
        about: Sequence[object] = (),
    ) -> HttpResponse:
        """The page before an action; `about` names the chosen rows, if that helps."""
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "question": question,
            "about": about[:NAMED],
            "more": max(len(about) - NAMED, 0),
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
        """The chosen rows; none, and a word about it, where they are too many."""
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


class ConfirmationAdmin(Asking, ReadOnlyAdmin):
    """The same, of rows that only the protocol writes."""
