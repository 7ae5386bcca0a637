"""Traces: whom an administrator follows for some minutes."""

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

__all__ = ["Trace"]


class Trace(models.Model):
    """A trace of one user or connection; on until `ends_at` by the clock of the database."""

    id = models.BigAutoField(primary_key=True)
    subject = models.CharField(_("user or connection"), max_length=150)
    is_connection = models.BooleanField(_("a connection"), default=False)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        db_constraint=False,
        related_name="+",
        verbose_name=_("started by"),
    )
    started_at = models.DateTimeField(_("started at"), default=timezone.now)
    ends_at = models.DateTimeField(_("ends at"), db_index=True)

    class Meta:
        default_permissions = ("add", "view")
        verbose_name = _("trace")
        verbose_name_plural = _("traces")

    def __str__(self) -> str:
        return self.subject
