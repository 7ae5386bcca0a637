import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('realtime', '0008_presence_of_topics'),
    ]

    operations = [
        migrations.CreateModel(
            name='TopicOccupancy',
            fields=[
                ('topic', models.CharField(max_length=200, primary_key=True, serialize=False, verbose_name='topic')),
                ('since', models.DateTimeField(default=django.utils.timezone.now, verbose_name='since')),
            ],
            options={
                'verbose_name': 'occupied topic',
                'verbose_name_plural': 'occupied topics',
            },
        ),
    ]
