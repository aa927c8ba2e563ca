"""Measurements in processes of their own."""

import multiprocessing
import os
import time

import pytest

from studies import workers

# `once` of tests.conftest, which every worker would import, and with it three backends.
pytestmark = pytest.mark.backends("jax")


def double(number):
    while True:
        number = yield 2 * number


def stumble():
    yield
    raise ValueError("too many\nand more")


def leave():
    yield
    raise SystemExit("There is no such model.")


def wait_or_die(dies):
    yield
    if dies:
        os._exit(1)
    time.sleep(600)
    yield


def test_a_worker_answers_until_it_is_stopped():
    worker = workers.Worker(double, 1)
    assert [worker.ask(), worker.ask(2), worker.ask(3)] == [2, 4, 6]
    worker.stop()
    assert not multiprocessing.active_children()


def test_an_error_of_a_worker_is_told_in_a_sentence_and_shown_in_full(capfd):
    worker = workers.Worker(stumble)
    worker.ask()
    with pytest.raises(workers.Failed, match="^A measurement failed: ValueError: too many$"):
        worker.ask()
    worker.stop()
    assert "in stumble" in capfd.readouterr().err


def test_what_ends_a_worker_does_not_end_the_program():
    worker = workers.Worker(leave)
    worker.ask()
    with pytest.raises(workers.Failed, match="SystemExit: There is no such model."):
        worker.ask()
    worker.stop()


def test_answers_come_in_the_order_of_the_workers():
    several = [workers.Worker(double, i) for i in range(3)]
    assert workers.ask_all(several) == [0, 2, 4]
    assert workers.ask_all(several, 5) == [10, 10, 10]
    for worker in several:
        worker.stop()


def test_a_worker_that_dies_is_noticed_while_others_wait():
    several = [workers.Worker(wait_or_die, dies) for dies in (False, True)]
    workers.ask_all(several)
    with pytest.raises(workers.Failed, match="its process ended"):
        workers.ask_all(several)
    with pytest.raises(workers.Failed, match="its process ended"):
        several[1].ask()
    for process in multiprocessing.active_children():
        process.kill()
