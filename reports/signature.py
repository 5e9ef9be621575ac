"""The line under every table that says what its numbers rest on, after sacrebleu's signatures.

Exercised by ``python -m reports RUN_DIR``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from comparison.records import KEY_VERSION
from reports.analysis import CONFIRMATORY, EXPLORATORY
from reports.collect import Run
from reports.statistics import DRAWS
from reports.tables import code

READING = (
    "A signature says what a table or picture rests on: model, tasks (metric), questions (n), "
    "clusters, seed, tests with the number m of p-values adjusted together, what failed answers count, code, device. "
    f"{code(f'key v{KEY_VERSION}')} is the rule that tells whether a kept answer was made under these settings."
)


def signature(
    run: Run,
    tasks: Collection[str],
    *,
    families: Mapping[str, int] | None = None,
    margin: float | None = None,
) -> str:
    """Model, tasks with their metrics, sizes, key, interval, failure policy, code, device and precision, in one code
    span; where something is tested, also the test and the sizes of its `families` (and the `margin`, 0 to 1)."""
    parts = [
        _versioned(str(run.settings["model"]), run.settings.get("revision")),
        _task_part(run, tasks),
        _size_part(run, tasks),
        f"seed {run.settings.get('seed', '?')}",
        f"key v{KEY_VERSION}",
        "95% clustered t interval",
    ]
    if families:
        parts += [
            f"cluster sign-flip, {DRAWS} draws or exact, seeded from {run.key[:8]}",
            f"Holm m={families[CONFIRMATORY]}",
            f"Benjamini-Hochberg m={families[EXPLORATORY]}",
        ]
        parts += [f"margin {100 * margin:g}"] if margin is not None else []
    failures = "score zero" if run.failures == "zero" else "excluded"
    parts += [f"failures {failures}", _code_part(run), _device_part(run)]
    return code(" · ".join(parts))


def _versioned(name: str, revision: object) -> str:
    return f"{name}@{revision}" if revision else name


def _task_part(run: Run, tasks: Collection[str]) -> str:
    """The tasks by their metric, which stands once behind all of its tasks."""
    scored_by: dict[str, list[str]] = {}
    for task in run.tasks:
        if task.name in tasks:
            scored_by.setdefault(task.metric, []).append(_versioned(task.name, task.revision))
    return "; ".join(
        ", ".join(names) + (f" ({metric})" if metric else "") for metric, names in scored_by.items()
    )


def _size_part(run: Run, tasks: Collection[str]) -> str:
    """Distinct examples and clusters over all methods; a document that feeds two tasks counts once as a
    cluster."""
    columns = [(task, column) for (_, task), column in run.columns.items() if task in tasks]
    examples = {(task, example) for task, column in columns for example in column.ids}
    clusters = {str(cluster) for _, column in columns for cluster in column.clusters}
    return f"n {len(examples)}, clusters {len(clusters)}"


def _code_part(run: Run) -> str:
    found = [
        f"{str(one.get('commit') or 'unknown')[:12]}{' with changes' if one.get('dirty') else ''}"
        for one in run.sessions
    ]
    return f"commit {' and '.join(dict.fromkeys(found))}"


def _device_part(run: Run) -> str:
    gpus = dict.fromkeys(str(gpu) for one in run.sessions if (gpu := (one.get("machine") or {}).get("gpu")))
    gpu = f"({' and '.join(gpus)})" if gpus else ""
    names = (run.settings.get("device"), gpu, run.settings.get("kernel"), run.settings.get("dtype"))
    return " ".join(str(name) for name in names if name) or "device unknown"
