"""Previews are made one after the other, and leave the painter its time while it is behind."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from everslide.server.app import create_app
from everslide.server.pace import LONGEST_REST, REST, Pace
from tests.server.stub import Studio, make_service
from tests.server.test_queue import until


class Watch:
    """A clock that a test sets, and how long somebody slept."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []


@pytest.mark.parametrize(("took", "rest"), [(0.002, 0.002 * REST), (5.0, LONGEST_REST)])
def test_who_worked_rests_while_the_painter_is_behind(took: float, rest: float) -> None:
    watch, behind = Watch(), [True]
    pace = Pace(lambda: behind[0], lambda: watch.now, watch.slept.append)
    with pace.turn():
        watch.now += took
    assert watch.slept == pytest.approx([rest])
    behind[0] = False
    with pace.turn():
        watch.now += took
    assert len(watch.slept) == 1


def test_a_failure_rests_too_and_lets_others_in() -> None:
    watch = Watch()
    pace = Pace(lambda: True, lambda: watch.now, watch.slept.append)
    with pytest.raises(ZeroDivisionError), pace.turn():
        raise ZeroDivisionError
    assert len(watch.slept) == 1
    with pace.turn():
        pass


def test_one_at_a_time_and_its_rest_belongs_to_its_turn() -> None:
    resting, go_on, second = threading.Event(), threading.Event(), threading.Event()

    def rest(_seconds: float) -> None:
        resting.set()
        assert go_on.wait(20)

    pace = Pace(lambda: True, sleep=rest)

    def work(done: threading.Event | None) -> None:
        with pace.turn():
            if done is not None:
                done.set()

    threads = [threading.Thread(target=work, args=(done,)) for done in (None, second)]
    threads[0].start()
    assert resting.wait(20)
    threads[1].start()
    assert not second.wait(0.05)
    go_on.set()
    assert second.wait(20)
    for thread in threads:
        thread.join(20)


def test_previews_of_a_full_queue_are_paced_and_others_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    studio = Studio()
    rests: list[float] = []
    service = make_service(studio, max_waiting=1)
    monkeypatch.setattr(service._pace, "_sleep", rests.append)
    client = create_app(service, tmp_path).test_client()
    assert client.get("/slides/demo_files/17/1_1.jpeg?preview=1").status_code == 200
    assert rests == []
    studio.gate.clear()
    waiting = threading.Thread(
        target=create_app(service, tmp_path).test_client().get, args=("/slides/demo_files/17/1_1.jpeg",)
    )
    waiting.start()
    until(lambda: service.queue.full)
    assert client.get("/slides/demo_files/17/2_1.jpeg").headers["X-Everslide-State"] == "preview"
    assert len(rests) == 1
    studio.gate.set()
    waiting.join(20)
    service.close()
