"""What a chat stores."""

from django.db import models


class Message(models.Model):
    """One message of a room."""

    room = models.CharField(max_length=100)
    content = models.TextField()
