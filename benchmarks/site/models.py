"""What a publisher's transaction writes besides the event."""

from django.db import models


class Work(models.Model):
    """A row of the site."""

    feed = models.CharField(max_length=100)
    text = models.TextField()
