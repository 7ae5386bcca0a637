from typing import Any

from django.db import migrations, models

from ._locks import lock


def lock_nodes(apps: Any, schema_editor: Any) -> None:
    """Let no reader of the nodes wait long behind this."""
    lock(schema_editor, 'realtime_node')


class Migration(migrations.Migration):

    dependencies = [
        ('realtime', '0012_traces'),
    ]

    operations = [
        migrations.RunPython(lock_nodes, migrations.RunPython.noop, elidable=False),
        migrations.AddField(
            model_name='node',
            name='drain_seconds',
            field=models.PositiveIntegerField(blank=True, null=True, verbose_name='drains over'),
        ),
    ]
