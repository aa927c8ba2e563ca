"""Do fine-tuned encoders differ by more than chance? Their runs compared in pairs."""

import numpy as np
from scipy import stats

from recipes.program import command_line, files
from recipes.text import glue_tasks


def table(settings, config):
    """Returns the differences of all settings from the baseline, in Markdown.

    `settings` are lists of `Run`s by name, `config` the options of `recipes.compare`.
    """
    tasks = {run.config.get("task") for runs in settings.values() for run in runs}
    if len(tasks) > 1:
        raise SystemExit(f"The runs are of several tasks: {', '.join(map(str, sorted(tasks)))}.")
    by_seed = {
        name: {run.config["seed"]: run for run in runs}
        for name, runs in settings.items()
        if len(runs) >= config.least_seeds
    }
    baselines = [
        name
        for name, runs in by_seed.items()
        if next(iter(runs.values())).config["model"] == [config.baseline]
    ]
    if len(baselines) != 1:
        raise SystemExit(
            f"There must be one setting of the baseline {config.baseline} with "
            f"--least_seeds {config.least_seeds}. Found: {'; '.join(baselines) or 'none'}"
        )
    baseline = by_seed.pop(baselines[0])
    score = scorer(config.score, *tasks)
    columns = ["setting", "seeds", "mean difference, %", "95 % interval", "p over seeds"]
    rows = [
        row(name, runs, baseline, score, config)
        for name, runs in by_seed.items()
        if runs.keys() & baseline.keys()
    ]
    title = f"Differences from {baselines[0]}, in {config.score}:"
    return f"{title}\n\n{files.markdown_table(columns, rows)}"


def row(name, runs, baseline, score, config):
    """Returns the row of a setting: its differences from the baseline on the seeds of both."""
    seeds = sorted(runs.keys() & baseline.keys())
    pairs = [(predicted(runs[seed]), predicted(baseline[seed])) for seed in seeds]
    if not all(np.array_equal(ours, theirs) for (ours, _), (theirs, _) in pairs):
        raise SystemExit(f"{name} and the baseline were tested on different examples.")
    differences = np.array([difference(pair, score) for pair in pairs])
    low, high = np.percentile(draw_again(pairs, score, config), [2.5, 97.5])
    # No test where all differences are equal, as in a single seed.
    p = f"{stats.ttest_1samp(differences, 0.0).pvalue:.2f}" if np.ptp(differences) else ""
    return [
        name,
        ", ".join(map(str, seeds)),
        f"{100 * differences.mean():+.1f} ({', '.join(f'{100 * x:+.1f}' for x in differences)})",
        f"{100 * low:+.1f} to {100 * high:+.1f}",
        p,
    ]


def predicted(run):
    """Returns labels and predictions of a run, one array each over all its test examples."""
    if not run.predictions:
        raise SystemExit(
            f"A run of {run.config['config']} has kept no predictions: only runs of `glue` do."
        )
    return [
        np.concatenate([np.array(x[name].split(), "float64") for x in run.predictions.values()])
        for name in ("labels", "predictions")
    ]


def scorer(name, task):
    """Returns the function from labels and predictions of a task to the score."""
    if task not in glue_tasks.TASKS:
        raise SystemExit(
            "--score tests runs of `glue`; those of other recipes keep no predictions."
        )
    task = glue_tasks.TASKS[task]

    def scores(labels, predictions):
        if task.classes:
            predictions = np.eye(task.classes)[predictions.astype(int)]
        return task.scores(labels, predictions)

    known = scores(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    command_line.one_of(name, known, "score of this task")
    return lambda labels, predictions: scores(labels, predictions)[name]


def difference(pair, score, examples=slice(None)):
    """Returns by how much the first of two runs is better, on some of the examples."""
    ours, baseline = (
        score(labels[examples], predictions[examples]) for labels, predictions in pair
    )
    return ours - baseline


def draw_again(pairs, score, config):
    """Returns the mean differences when seeds and examples are drawn again, `config.draws` times.

    Both runs of a pair are drawn together, with replacement: a bootstrap over seeds and examples.
    """
    random = np.random.default_rng(config.seed)
    size = len(pairs[0][0][0])
    means = []
    for _ in range(config.draws):
        examples = random.integers(size, size=size)
        drawn = [pairs[i] for i in random.integers(len(pairs), size=len(pairs))]
        means.append(np.mean([difference(pair, score, examples) for pair in drawn]))
    return means
