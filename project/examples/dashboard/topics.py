"""The topic of the dashboard: the latest value of each metric of each machine."""

from datetime import timedelta

from realtime.topics import Event, Topic

__all__ = ["DashboardTopic", "Load"]


class Load(Event):
    """The latest value of a metric, in percent; its key is `machine/metric`."""

    percent: float


class DashboardTopic(Topic):
    """All metrics, for everybody."""

    path = "dashboard"
    events = [Load]
    keep = timedelta(hours=1)

    def may_subscribe(self) -> bool:
        """Allow every user and guest."""
        return True
