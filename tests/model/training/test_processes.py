"""Several processes that train together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from everslide.model.errors import DataError
from everslide.model.training.processes import average_gradients, leave_processes, of_first, run_together

PROGRAM = """
import sys
from tests.model.training.test_processes import wait
from everslide.model.training.processes import run_together

if __name__ == "__main__":
    run_together(wait, 2, sys.argv[1])
"""


def wait(rank: int, folder: str) -> None:
    """Leave this process' number in `folder`, and wait."""
    (Path(folder) / f"{rank}.part").write_text(str(os.getpid()))
    (Path(folder) / f"{rank}.part").rename(Path(folder) / f"{rank}.pid")
    time.sleep(600)


def fail(rank: int) -> None:
    if rank == 1:
        raise DataError("this image is torn; leave it out")
    time.sleep(600)


def leave_late(rank: int, folder: str) -> None:
    """The second is still busy with what both said last, while the first leaves already."""
    average_gradients([torch.ones(1)])
    if rank == 1:
        time.sleep(1.5)
        (Path(folder) / "heard").touch()
    leave_processes()
    assert (Path(folder) / "heard").exists() and not dist.is_initialized()


def runs(process: int) -> bool:
    """Whether a process is there and has not ended."""
    status = Path(f"/proc/{process}/status")
    try:
        return "\nState:\tZ" not in status.read_text()
    except FileNotFoundError:
        return False


def test_one_process_is_this_one() -> None:
    seen: list[int] = []
    run_together(lambda rank: seen.append(rank), 1)
    gradient = torch.tensor([1.0, 2.0])
    average_gradients([gradient])
    assert seen == [0] and gradient.tolist() == [1.0, 2.0] and of_first(3.5) == 3.5


def test_nobody_hangs_up_while_another_one_listens(tmp_path: Path) -> None:
    """They leave together. (A process that leaves closes its connections, and a slower one loses what it was sent.)"""
    run_together(leave_late, 2, str(tmp_path))
    leave_processes()  # of one process: nothing to leave


def test_what_one_of_them_says_ends_all() -> None:
    with pytest.raises(DataError, match="this image is torn; leave it out"):
        run_together(fail, 2)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc, as Linux has it")
def test_they_end_with_the_one_that_started_them_also_behind_nohup(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    ignored = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does for what it runs in the background
    try:
        started = subprocess.Popen(
            [sys.executable, str(program), str(tmp_path)], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        )
    finally:
        signal.signal(signal.SIGINT, ignored)
    names = [tmp_path / f"{rank}.pid" for rank in (0, 1)]
    while not all(name.exists() for name in names):
        assert started.poll() is None
        time.sleep(0.1)
    others = [int(name.read_text()) for name in names]
    assert all(map(runs, others))
    started.kill()
    started.wait()
    for _ in range(300):
        if not any(map(runs, others)):
            return
        time.sleep(0.1)
    for process in others:
        os.kill(process, signal.SIGKILL)
    pytest.fail("processes of a run go on without the one that started them")
