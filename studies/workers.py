"""Measurements in processes of their own, which go on whenever they are asked to."""

import concurrent.futures
import multiprocessing
import traceback
from concurrent.futures.process import BrokenProcessPool


class Failed(SystemExit):
    """A measurement raised an error, or its process ended; ends the program unless it is caught."""


class Worker:
    """A process that runs a generator from one `yield` to the next.

    Args:
        generate: Generator function at the top level of a module.
        *arguments: Its arguments.
    """

    def __init__(self, generate, *arguments):
        self.pool = concurrent.futures.ProcessPoolExecutor(
            max_workers=1,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin,
            initargs=(generate, *arguments),
        )

    def ask(self, question=None):
        """Sends a question to the generator, the first time `None`, and returns what it yields.

        Raises `Failed` if it raises an error or its process ends.
        """
        return ask_all([self], question)[0]

    def stop(self):
        """Lets the process end, and waits for it."""
        self.pool.shutdown()


def ask_all(workers, question=None):
    """Returns the answers of workers that work on a question at the same time.

    Raises `Failed` as soon as one of them fails: the others may be waiting for it.
    """
    try:
        answers = [worker.pool.submit(_resume, question) for worker in workers]
        for answer in concurrent.futures.as_completed(answers):
            answer.result()
    except BrokenProcessPool:
        reason = "its process ended (if no reason is above, for lack of memory)"
        raise Failed(f"A measurement failed: {reason}") from None
    return [answer.result() for answer in answers]


def _begin(generate, *arguments):
    """Keeps the generator in its process, from one question to the next."""
    global _running
    _running = generate(*arguments)


def _resume(question):
    try:
        return _running.send(question)
    except (Exception, SystemExit) as error:  # whatever it is, other workers go on
        traceback.print_exc()
        first_line = f"{type(error).__name__}: {error}".splitlines()[0]
        raise Failed(f"A measurement failed: {first_line}") from None
