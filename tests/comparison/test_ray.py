"""Ray's workers: they die, hang and are replaced like others; what is wrong with a cluster is one line."""

from __future__ import annotations

import builtins
import os
import sys

import pytest

from comparison import ray_workers
from comparison.plan import PlanError, make_plan
from comparison.records import read_records
from comparison.workers import WorkerError


def test_workers_that_die_or_hang_are_replaced(run, tmp_path, monkeypatch):
    ray = pytest.importorskip("ray")
    monkeypatch.chdir(tmp_path)
    methods = ["Dies:at=1,times=1", "Hangs:at=3", "Hangs:at=4", "Dies:at=5,times=2"]
    tally = run(*methods, executor="ray", workers=2, timeout=2.0)
    assert (tally.answered, tally.failed) == (24, 3)
    records = read_records(tmp_path / "run")
    assert len(records) == 24
    errors = {(one.method.partition(":")[2], one.example): one.error for one in records if one.error}
    for at in (3, 4):
        assert errors.pop((f"Hangs:at={at}", f"words-{at}")) == "timeout: no answer within 2 s"
    [(place, died)] = errors.items()
    assert place == ("Dies:at=5,times=2", "words-5")
    assert died.startswith("the worker died twice on this example: The actor died unexpectedly")
    assert not ray.is_initialized()


def test_a_worker_is_where_its_driver_is_and_finds_what_that_finds(tmp_path, monkeypatch):
    cloudpickle = pytest.importorskip("ray.cloudpickle")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("NUMBA_NUM_THREADS", "7")
    monkeypatch.setattr("sys.path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "far_away.py").write_text(
        "def open_reader():\n    raise ValueError('far\\naway')\n"
    )
    setup = b"cfar_away\nopen_reader\n."  # the pickle of a function by its name
    assert cloudpickle.loads(b"cos\ngetcwd\n.") is os.getcwd
    reader = ray_workers.Reader()
    failed = reader.open(setup, [], "no such folder", 3)
    assert (failed.line, os.getcwd()) == ("ModuleNotFoundError: No module named 'far_away'", str(tmp_path))
    failed = reader.open(setup, [str(tmp_path / "plugins")], str(tmp_path / "here"), 3)
    assert failed.line == "AttributeError: 'function' object has no attribute 'open'"
    assert os.getcwd() == str(tmp_path / "here")
    assert (os.environ["OMP_NUM_THREADS"], os.environ["NUMBA_NUM_THREADS"]) == ("3", "3")


class Cluster:
    """What `RayWorkers` asks of a cluster before it starts an actor."""

    def __init__(self, machines, **resources):
        self.machines, self.resources, self.down, self.asked = machines, resources, False, {}

    def cluster_resources(self):
        return self.resources

    def nodes(self):
        return [{"Alive": place < self.machines} for place in range(self.machines + 1)]

    def remote(self, actor):
        return self

    def options(self, **asked):
        self.asked = asked

    def shutdown(self):
        self.down = True


def workers_on(cluster, monkeypatch, size=None, device="auto"):
    monkeypatch.setattr(ray_workers, "_start_ray", lambda address: cluster)
    workers = ray_workers.RayWorkers("a setup", size, address=None, device=device)
    return workers.size, cluster.asked["num_gpus"], cluster.asked["num_cpus"], workers.threads


def test_workers_are_the_gpus_of_the_cluster_or_one_a_machine(monkeypatch):
    assert workers_on(Cluster(2, GPU=6.0, CPU=48.0), monkeypatch) == (6, 1, 1.0, 8)
    assert workers_on(Cluster(2, GPU=6.0, CPU=48.0), monkeypatch, size=3) == (3, 1, 1.0, 16)
    assert workers_on(Cluster(2, GPU=6.0, CPU=48.0), monkeypatch, device="cpu") == (2, 0, 1.0, 24)
    assert workers_on(Cluster(3, CPU=12.0), monkeypatch) == (3, 0, 1.0, 4)
    assert workers_on(Cluster(1, CPU=2.0), monkeypatch, size=4) == (4, 0, 0.5, 1)
    assert workers_on(Cluster(1, CPU=2.0), monkeypatch, size=3) == (3, 0, 0.666, 1)


@pytest.mark.parametrize(
    ("resources", "settings", "part"),
    [
        ({"GPU": 2.0}, {"size": 3}, "--workers 3: the Ray cluster has 2 GPUs"),
        ({"CPU": 2.0}, {"device": "cuda"}, "--device cuda: the Ray cluster has no GPU"),
    ],
)
def test_a_cluster_that_is_too_small_is_refused_and_left(monkeypatch, resources, settings, part):
    cluster = Cluster(1, **resources)
    with pytest.raises(WorkerError, match=part):
        workers_on(cluster, monkeypatch, **settings)
    assert cluster.down


def test_without_ray_a_line_says_how_to_install_it(run, monkeypatch):
    imported = builtins.__import__

    def no_ray(name, *rest):
        if name.partition(".")[0] == "ray":
            raise ModuleNotFoundError("No module named 'ray'")
        return imported(name, *rest)

    monkeypatch.setattr(builtins, "__import__", no_ray)
    with pytest.raises(WorkerError, match=r"pip install -e '\.\[ray\]'") as error:
        run("Last", executor="ray")
    assert "\n" not in str(error.value)


def test_a_cluster_that_is_not_there_is_one_line(run):
    pytest.importorskip("ray")
    with pytest.raises(WorkerError, match=r"cannot reach the Ray cluster at 127\.0\.0\.1:1: ") as error:
        run("Last", executor="ray", **{"ray-address": "127.0.0.1:1"})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"workers": 2}, "--workers is for --executor ray"),
        ({"ray-address": "auto"}, "--ray-address is for --executor ray"),
        ({"executor": "ray", "workers": 0}, "--workers is 0"),
        ({"executor": "slurm"}, "--executor is 'slurm', expected serial or ray"),
        ({"timeout": 0.0}, "--timeout is 0"),
        ({"timeout": float("nan")}, "--timeout is nan"),
        ({"shard": "9/8"}, "--shard '9/8'"),
    ],
)
def test_what_cannot_be_asked_of_workers_is_refused(settings, part):
    with pytest.raises(PlanError, match=part):
        make_plan({"model": "fake/reader", "benchmark": ["comparison_fakes:words"]} | settings)
