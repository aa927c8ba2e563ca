"""Processes that measure: each runs a function that answers what it is asked."""

import contextlib
import multiprocessing
import multiprocessing.connection
import traceback


class Failed(SystemExit):
    """A worker raised an error, or its process ended; ends the program unless it is caught."""


class Worker:
    """A process that runs `function(end, *arguments)`.

    `end` is the other end of the pipe: the function gets what is asked by `end.recv()` and answers
    by `end.send()`. It ends when `end.recv()` raises an `EOFError`, which it need not catch.
    """

    def __init__(self, function, *arguments):
        context = multiprocessing.get_context("spawn")
        self.end, theirs = context.Pipe()
        self.process = context.Process(
            target=_run, args=(function, theirs, *arguments), daemon=True
        )
        self.process.start()
        theirs.close()

    def send(self, question):
        with contextlib.suppress(OSError):  # of which `receive` tells
            self.end.send(question)

    def receive(self):
        """Returns the next answer, or raises `Failed`."""
        try:
            answer = self.end.recv()
        except (EOFError, OSError):
            reason = "its process ended (if no reason is above, for lack of memory)"
            raise Failed(f"A measurement failed: {reason}") from None
        if isinstance(answer, _Error):
            raise Failed(f"A measurement failed: {answer.text}")
        return answer

    def ask(self, question):
        self.send(question)
        return self.receive()

    def stop(self):
        self.end.close()
        self.process.join()


def ask_all(workers, question):
    """Returns the answers of workers which all answer at the same time, in any order.

    Raises `Failed` as soon as one of them fails, for which the others may be waiting.
    """
    for worker in workers:
        worker.send(question)
    answers = {worker.end: None for worker in workers}
    waiting = {worker.end: worker for worker in workers}
    while waiting:
        for end in multiprocessing.connection.wait(list(waiting)):
            answers[end] = waiting.pop(end).receive()
    return list(answers.values())


class _Error:
    """What a worker sends instead of an answer."""

    def __init__(self, error):
        self.text = f"{type(error).__name__}: {error}".splitlines()[0]


def _run(function, end, *arguments):
    try:
        function(end, *arguments)
    except (EOFError, BrokenPipeError):  # nobody is at the other end any more
        return
    except Exception as error:  # whatever it is, the others may go on
        traceback.print_exc()
        with contextlib.suppress(OSError):
            end.send(_Error(error))
