"""All cases of the benchmarks, with the targets that the project promises to reach."""

from .case import Case, Entry, Figures, Target
from .connections import CONNECT, IDLE, RESUME
from .fanout import FANOUT, MEMBERS
from .rooms import LATENCY, NODES, PERSIST, ROOMS, SLOW
from .topics import BURST, CONSUMER, PUBLISH, TELL, TOPICS, VALUES

__all__ = ["CASES", "Case", "Entry", "Figures", "Target"]

CASES = {
    case.name: case
    for case in (
        FANOUT,
        MEMBERS,
        PERSIST,
        LATENCY,
        CONNECT,
        IDLE,
        RESUME,
        ROOMS,
        SLOW,
        NODES,
        PUBLISH,
        BURST,
        TELL,
        CONSUMER,
        VALUES,
        TOPICS,
    )
}
