import os
import time

import pytest

from recipes.program import workers
from tests.conftest import once

pytestmark = [once, pytest.mark.process]


def double(end, first):
    end.send(2 * first)
    while True:
        end.send(2 * end.recv())


def stumble(end):
    end.recv()
    raise ValueError("too many\nand more")


def wait_or_die(end, dies):
    end.recv()
    if dies:
        os._exit(1)
    time.sleep(600)


def test_a_worker_answers_until_it_is_stopped():
    worker = workers.Worker(double, 1)
    assert [worker.receive(), worker.ask(2), worker.ask(3)] == [2, 4, 6]
    worker.stop()
    assert worker.process.exitcode == 0


def test_an_error_of_a_worker_is_told(capfd):
    worker = workers.Worker(stumble)
    with pytest.raises(workers.Failed, match="ValueError: too many$"):
        worker.ask("go on")
    with pytest.raises(workers.Failed, match="its process ended"):
        worker.ask("again")
    worker.stop()
    assert "in stumble" in capfd.readouterr().err


def test_answers_come_in_the_order_of_the_workers():
    several = [workers.Worker(double, i) for i in range(3)]
    assert [worker.receive() for worker in several] == [0, 2, 4]
    assert workers.ask_all(several, 5) == [10, 10, 10]
    for worker in several:
        worker.stop()


def test_a_worker_that_dies_is_noticed_while_others_wait():
    several = [workers.Worker(wait_or_die, dies) for dies in (False, True)]
    with pytest.raises(workers.Failed, match="its process ended"):
        workers.ask_all(several, "go on")
    for worker in several:
        worker.process.kill()
