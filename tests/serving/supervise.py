"""A supervisor of small workers; run by test_supervisor.py."""

import logging
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from realtime.serving import slot
from realtime.serving.supervisor import Supervisor, Times
from realtime.serving.worker import Program, Worker

WORKER = Path(__file__).parent / "worker.py"


@dataclass(frozen=True)
class Small(Program):
    """Starts a small worker in place of a server."""

    def start(self, generation: int, now: float, place: int) -> Worker:
        mode = (Path(self.application) / "mode").read_text()
        if mode == "refused":
            raise FileNotFoundError(2, "No such file or directory", self.application)
        ours, theirs = socket.socketpair()
        arguments = [self.application, str(theirs.fileno()), mode]
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-S", "-E", str(WORKER), *arguments],
                pass_fds=[theirs.fileno()],
                process_group=0,
            )
        ours.setblocking(False)
        return Worker(process, ours, generation, now, place)


def main(folder: str, number: str, start: str, grace: str, together: str) -> int:
    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.INFO)
    slot.FIRST_PAUSE = slot.LONGEST_PAUSE = 0.05
    listener = socket.create_server(("127.0.0.1", 0))
    times = Times(float(start), drain=1.0, grace=float(grace), together=float(together))
    return Supervisor(Small("daphne", folder, (), listener), int(number), times).run()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
