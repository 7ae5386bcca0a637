"""What decides over access to the whole site."""

from django.db import models
from django.utils.translation import gettext_lazy as _

__all__ = ["RevokedToken", "Rights"]


class Rights(models.Model):
    """One row: how often rights have changed that count in more than one room."""

    ONLY = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ONLY)
    seq = models.BigIntegerField(_("changes of rights"), default=0)

    class Meta:
        verbose_name = _("rights")
        verbose_name_plural = _("rights")
        constraints = [
            models.CheckConstraint(name="realtime_rights_only", condition=models.Q(id=1))
        ]

    def __str__(self) -> str:
        return str(self.seq)


class RevokedToken(models.Model):
    """A token that is not taken any more, kept for as long as it would have been good."""

    jti = models.CharField(_("token id"), max_length=255, unique=True)
    expires_at = models.DateTimeField(_("good until"), db_index=True)

    class Meta:
        verbose_name = _("revoked token")
        verbose_name_plural = _("revoked tokens")

    def __str__(self) -> str:
        return self.jti
