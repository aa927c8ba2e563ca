"""Tests whether fine-tuned encoders differ by more than chance, in pairs of runs of `glue`.

    python -m recipes.paired_test runs/glue-cola/*/ --score matthews --baseline BERT
    python -m recipes.paired_test results.json --score matthews --baseline BERT --least_seeds 3

Every setting is compared with the baseline on the seeds that both have: a pair has seen the same
examples in the same order, and is tested on the same examples. The table has the mean of the
differences; the interval that holds 95 % of them when seeds and test examples are drawn again with
replacement, both of a pair together (a bootstrap over both); and the p of Student's paired t-test
over the seeds, which takes the test examples as given.
"""

import dataclasses
import pathlib

import numpy as np
import tyro

from recipes.compare import grouped
from recipes.program import command_line, files
from recipes.program.command_line import Count, Seed
from recipes.trained import finished

PROGRAM = "python -m recipes.paired_test"


@dataclasses.dataclass(frozen=True)
class Config:
    """What to compare. The comments are the help of the command line."""

    # Folders of runs of `glue`, and files that `compare --keep` has written.
    folders: tyro.conf.Positional[tuple[pathlib.Path, ...]]
    # Score of the task: matthews, accuracy, f1, pearson or spearman.
    score: str
    # Model that the others are compared with. It must have one setting.
    baseline: str = "BERT"
    # Settings of fewer seeds, such as those of a search for the learning rate, are left out.
    least_seeds: Count = 1
    # How often seeds and examples are drawn again.
    draws: Count = 2_000
    # Seed of these draws.
    seed: Seed = 0


def main(arguments=None):
    config = command_line.parse_options(Config, PROGRAM, __doc__, arguments)
    if not config.folders:
        raise SystemExit("Name the folders of the runs to compare.")
    runs = [run for path in config.folders for run in finished.read(path)]
    tasks = {run.config.get("task") for run in runs}
    if len(tasks) > 1:
        raise SystemExit(f"The runs are of several tasks: {', '.join(map(str, sorted(tasks)))}.")
    settings = {
        name: {run.config["seed"]: run for run in members}
        for name, members in grouped(runs).items()
        if len(members) >= config.least_seeds
    }
    baselines = [
        name
        for name, members in settings.items()
        if next(iter(members.values())).config["model"] == [config.baseline]
    ]
    if len(baselines) != 1:
        raise SystemExit(
            f"There must be one setting of the baseline {config.baseline} with "
            f"--least_seeds {config.least_seeds}. Found: {'; '.join(baselines) or 'none'}"
        )
    baseline = settings.pop(baselines[0])
    print(f"Differences from {baselines[0]}, in {config.score}:\n")
    columns = ["setting", "seeds", "mean difference, %", "95 % interval", "p over seeds"]
    print(files.markdown_table(columns, list(rows(settings, baseline, config))), end="")


def rows(settings, baseline, config):
    """Yields the row of every setting that shares seeds with the baseline."""
    from scipy import stats

    for name, members in settings.items():
        seeds = sorted(members.keys() & baseline.keys())
        if not seeds:
            continue
        pairs = [[predicted(of[seed]) for of in (members, baseline)] for seed in seeds]
        if not all(np.array_equal(ours, theirs) for (ours, _), (theirs, _) in pairs):
            raise SystemExit(f"{name} and the baseline were tested on different examples.")
        score = scorer(config, baseline[seeds[0]].config["task"])
        found = np.array([difference(pair, score) for pair in pairs])
        low, high = np.percentile(draw_again(pairs, score, config), [2.5, 97.5])
        # No test where all differences are equal, as in a single seed.
        p = f"{stats.ttest_1samp(found, 0.0).pvalue:.2f}" if np.ptp(found) else ""
        yield [
            name,
            ", ".join(map(str, seeds)),
            f"{100 * found.mean():+.1f} ({', '.join(f'{100 * x:+.1f}' for x in found)})",
            f"{100 * low:+.1f} to {100 * high:+.1f}",
            p,
        ]


def predicted(run):
    """Returns labels and predictions of a run, one array each over all its test examples."""
    if not run.predictions:
        raise SystemExit(
            f"A run of {run.config['config']} has kept no predictions: only those of `glue` do."
        )
    parts = [
        [np.array(part[column].split(), "float64") for part in run.predictions.values()]
        for column in ("labels", "predictions")
    ]
    return [np.concatenate(part) for part in parts]


def scorer(config, task):
    """Returns the function from labels and predictions of a task to the score."""
    from recipes.text import glue_tasks

    task = glue_tasks.TASKS[task]

    def score(labels, predictions):
        if task.classes:
            predictions = np.eye(task.classes)[predictions.astype(int)]
        return task.scores(labels, predictions)

    known = score(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    command_line.one_of(config.score, known, "score of this task")
    return lambda labels, predictions: score(labels, predictions)[config.score]


def difference(pair, score, examples=slice(None)):
    """Returns by how much the first of two runs is better, on some of the examples."""
    ours, baseline = (
        score(labels[examples], predictions[examples]) for labels, predictions in pair
    )
    return ours - baseline


def draw_again(pairs, score, config):
    """Returns the mean differences of as many draws of seeds and examples."""
    random = np.random.default_rng(config.seed)
    size = len(pairs[0][0][0])
    found = []
    for _ in range(config.draws):
        examples = random.integers(size, size=size)
        drawn = [pairs[i] for i in random.integers(len(pairs), size=len(pairs))]
        found.append(np.mean([difference(pair, score, examples) for pair in drawn]))
    return found


if __name__ == "__main__":
    command_line.run(main)
