"""The doctor: what it finds, what it says to do, and that nothing broken stops it."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
import tomllib
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement

import run_compare
from comparison import doctor, probes
from comparison.probes import Finding
from models.specs import READERS

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
STATES = {"ok", "missing", "note"}


def findings(capsys):
    """The printed lines as (name, state, text), by their columns."""
    lines = capsys.readouterr().out.splitlines()
    return [(line[:22].strip(), line[23:31].strip(), line[32:]) for line in lines]


@pytest.fixture
def probed(monkeypatch):
    """Stands in for the probes: `probed["torch"] = [...]` is what that one finds."""
    found = {name: [Finding(name, "ok", "well")] for name in probes.PROBES}
    monkeypatch.setattr(doctor, "start", lambda name: name)
    monkeypatch.setattr(doctor, "collect", lambda name, process, started: found[name])
    return found


def test_this_machine_can_run_the_embedded_reader():
    command = [sys.executable, "run_compare.py", "doctor"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    found = {line[:22].strip(): line[23:31].strip() for line in done.stdout.splitlines()}
    for name in ("python", "packages", "torch", "numba", "reader tiny"):
        assert found[name] == "ok"
    assert {"cuda", "hub", "ray", "memory", "disk of runs/", "extra dense", "faiss"} <= set(found)
    assert set(found.values()) <= STATES


def test_every_finding_is_one_line_of_three_columns(probed, capsys):
    probed["hub"] = [Finding("hub", "note", "no\nanswer  at all")]
    assert doctor.diagnose() == 0
    found = findings(capsys)
    assert ("hub", "note", "no answer at all") in found
    assert {state for _, state, _ in found} <= STATES
    assert len({name for name, _, _ in found}) == len(found)


@pytest.mark.parametrize("probe", ["torch", "kernels"])
def test_what_the_embedded_reader_needs_decides_the_status(probed, capsys, probe):
    probed[probe] = [Finding(probe, "missing", "does not work")]
    assert doctor.diagnose() == 1
    assert ("reader tiny", "missing", f"needs {probe}: see above, or run make test") in findings(capsys)


def test_what_it_does_not_need_does_not(probed, capsys):
    probed["torch"] += [Finding("mamba_ssm", "missing", "not installed")]
    probed["hub"] = probed["faiss"] = [Finding("x", "note", "no")]
    assert doctor.diagnose() == 0
    assert ("mamba_ssm", "missing", "not installed") in findings(capsys)


def test_a_reader_without_weights_cannot_run(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr(doctor, "reader_spec", lambda name: SimpleNamespace(path=str(tmp_path)))
    assert doctor.embedded([]).text.startswith("needs model.safetensors")


def test_an_old_python_is_the_only_finding(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "PYTHON", (99, 0))
    assert doctor.diagnose() == 1
    assert [(name, state) for name, state, _ in findings(capsys)] == [("python", "missing")]


def test_the_doctor_needs_the_standard_library_alone():
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import comparison.doctor"
    subprocess.run([sys.executable, "-S", "-c", code], check=True)


# The sub-command


def test_the_command_line_calls_the_doctor(monkeypatch):
    for status in (0, 1):
        monkeypatch.setattr(doctor, "diagnose", lambda status=status: status)
        assert run_compare.main(["doctor"]) == status


@pytest.mark.parametrize("arguments", [["docter"], ["--limit", "3", "doctor"], ["doctor", "--limit", "3"]])
def test_a_wrong_sub_command_is_one_line_and_status_2(monkeypatch, capsys, arguments):
    monkeypatch.setattr(doctor, "diagnose", lambda: pytest.fail("asked"))
    try:
        status = run_compare.main(arguments)
    except SystemExit as stop:
        status = stop.code
    assert status == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "doct" in error or "--limit" in error


def test_the_help_names_the_doctor():
    assert "run_compare.py doctor" in run_compare.parser().format_help()


# Packages


def test_every_extra_has_a_line_with_what_installs_it(monkeypatch):
    def nothing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", nothing)
    lines = {one.name: one for one in doctor.extras()}
    optional = PROJECT["optional-dependencies"]
    assert set(lines) == {f"extra {name}" for name in optional if name != "cuda"}  # that one is the kernels'
    for name, wanted in optional.items():
        if name != "cuda":
            one = lines[f"extra {name}"]
            assert one.state == "missing"
            assert one.text.endswith(f"pip install -c constraints.txt -e '.[{name}]'")
            packages = [Requirement(text).name for text in wanted if not text.startswith("run-compare")]
            assert all(f"{package} not installed" in one.text for package in packages)


def test_one_faiss_is_enough(monkeypatch):
    def only_cpu(name):
        if name == "faiss-gpu":
            raise metadata.PackageNotFoundError(name)
        return "99"

    monkeypatch.setattr(metadata, "version", only_cpu)
    lines = {one.name: (one.state, one.text) for one in doctor.extras()}
    assert lines["extra faiss-cpu"] == ("ok", "faiss-cpu 99")
    assert lines["extra faiss-gpu"] == ("note", "not needed beside faiss-cpu")


def test_a_missing_dependency_names_itself(monkeypatch):
    version = metadata.version

    def without_numba(name):
        if name == "numba":
            raise metadata.PackageNotFoundError(name)
        return "5.22.0" if name == "transformers" else version(name)

    monkeypatch.setattr(metadata, "version", without_numba)
    one = doctor.packages()
    assert one.state == "missing"
    assert "numba not installed" in one.text
    assert "transformers 5.22.0 where transformers>=5.23,<6 was expected" in one.text
    assert "scipy" not in one.text


def test_without_a_checkout_the_installed_distribution_says_what_it_needs(monkeypatch, tmp_path):
    needed, optional = PROJECT["dependencies"], PROJECT["optional-dependencies"]
    lines = ["Metadata-Version: 2.4", "Name: run-compare", "Version: 9"]
    lines += [f"Requires-Dist: {one}" for one in needed]
    lines += [f'Requires-Dist: {one}; extra == "{name}"' for name in optional for one in optional[name]]
    (tmp_path / "run_compare-9.dist-info").mkdir()
    (tmp_path / "run_compare-9.dist-info" / "METADATA").write_text("\n".join(lines))
    assert doctor.requirements() == {"": needed} | optional
    monkeypatch.setattr(doctor, "CHECKOUT", tmp_path / "pyproject.toml")
    monkeypatch.syspath_prepend(tmp_path)
    assert doctor.requirements() == {"": needed} | optional


@pytest.mark.parametrize(
    "version", ["0.9", "2", "2.4", "2.4.0", "2.3.9", "5.20", "5.99.1", "6.0.0", "10.0", "2.13.0+cpu"]
)
def test_versions_are_compared_as_packaging_does(monkeypatch, version):
    monkeypatch.setattr(metadata, "version", lambda name: version)
    for text in ("a>=2.4", "b>=5.20,<6", "c>=2", "d<2.4", "e", "f>=2.0"):
        here, lacking = doctor.standing([text])
        assert bool(here) == Requirement(text).specifier.contains(version)
        assert len(here) + len(lacking) == 1


# The machine


def test_memory_is_the_lesser_of_the_kernels_and_the_containers(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal: 99 kB\nMemAvailable:   8388608 kB\n")
    assert [one.text for one in doctor.memory(tmp_path / "meminfo", tmp_path)] == ["8.0 GiB free"]
    for limit, text in (
        ("max", "8.0 GiB free"),
        (str(3 << 30), "2.0 GiB free"),
        (str(99 << 30), "8.0 GiB free"),
    ):
        (tmp_path / "memory.max").write_text(f"{limit}\n")
        (tmp_path / "memory.current").write_text(f"{1 << 30}\n")
        assert [one.text for one in doctor.memory(tmp_path / "meminfo", tmp_path)] == [text]
    assert list(doctor.memory(tmp_path / "none", tmp_path)) == []


def test_a_folder_that_cannot_be_written_is_noted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [one.state for one in doctor.disks()] == ["ok", "ok"]
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: Path(path) != tmp_path)
    first = next(doctor.disks())
    assert (first.name, first.state) == ("disk of runs/", "note")
    assert str(tmp_path) in first.text


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch, tmp_path):
    for name in ("HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(doctor.os.path, "expanduser", lambda path: path)  # as it is without a home
    last = list(doctor.disks())[-1]
    assert last == Finding("disk of hub readers", "note", "no home directory: set HF_HOME to a folder")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert list(doctor.disks())[-1].state == "ok"


def test_readers_in_the_hubs_cache_are_at_hand(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    hub = sum(not (one.packaged or Path(one.path).is_absolute()) for one in READERS)
    assert [one.text for one in doctor.others()][-1].startswith(f"{hub} more")
    snapshot = tmp_path / "models--state-spaces--mamba-130m-hf" / "snapshots" / "1e76"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    assert "reader mamba-130m" not in [one.name for one in doctor.others()]
    (snapshot / "model.safetensors").write_bytes(b"")
    found = {one.name: one for one in doctor.others()}
    assert found["reader mamba-130m"] == Finding("reader mamba-130m", "ok", f"in {snapshot}")
    assert found["readers of the hub"].text.startswith(f"{hub - 1} more")


@pytest.mark.parametrize(
    ("names", "place"),
    [
        ({"HF_HUB_CACHE": "/a"}, "/a"),
        ({"HF_HOME": "/b"}, "/b/hub"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
        ({"HOME": "/d"}, "/d/.cache/huggingface/hub"),
    ],
)
def test_the_hubs_cache_is_where_its_client_keeps_it(names, place):
    clear = dict.fromkeys(("HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", "HUGGINGFACE_HUB_CACHE"), "")
    code = "import huggingface_hub.constants as c; from comparison import doctor\n"
    code += "print(doctor.hub_cache(), c.HF_HUB_CACHE)"
    environment = {name: value for name, value in os.environ.items() if name not in clear} | names
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [place, place]


# The probes


def test_a_probe_that_raises_is_a_finding(monkeypatch, capsys):
    def probe():
        yield Finding("first", "ok", "fine")
        raise ImportError("libc10.so: undefined\nsymbol")

    monkeypatch.setitem(probes.PROBES, "torch", (probe, 1.0, "missing"))
    probes.run_probe("torch")
    assert capsys.readouterr().out.splitlines() == [
        "first\tok\tfine",
        "torch\tmissing\tdoes not work (ImportError: libc10.so: undefined symbol)",
    ]


def collected(code, name="torch", started=0.0):
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    return probes.collect(name, process, started)


def test_a_probe_that_crashes_keeps_what_it_found_so_far(monkeypatch):
    monkeypatch.setattr(probes.time, "perf_counter", lambda: 0.0)
    code = "import os; print('noise'); print('a', 'ok', 'b', sep='\\t', flush=True); os.kill(os.getpid(), 11)"
    assert collected(code) == [
        Finding("a", "ok", "b"),
        Finding("torch", "missing", "crashes with status -11"),
    ]


def test_a_probe_that_hangs_is_ended(monkeypatch):
    monkeypatch.setattr(probes.time, "perf_counter", lambda: 100.0)
    late = collected("import time; time.sleep(60)", "hub")
    assert late == [Finding("hub", "note", "no answer within 4 seconds")]


@pytest.mark.parametrize("name", ["kernels", "faiss", "ray"])
def test_a_probe_runs_in_a_process_of_its_own(name):
    found = probes.collect(name, probes.start(name), probes.time.perf_counter())
    assert found
    assert {one.state for one in found} <= {"ok", "note"}


@pytest.fixture
def torch(monkeypatch):
    """A torch with a GPU, and no kernels for it."""
    cuda = SimpleNamespace(
        is_available=lambda: True,
        device_count=lambda: 1,
        mem_get_info=lambda number: (70 << 30, 80 << 30),
        get_device_name=lambda number: "H100",
    )
    fake = SimpleNamespace(
        __version__="2.9", version=SimpleNamespace(cuda="12.8"), get_num_threads=lambda: 2, cuda=cuda
    )
    monkeypatch.setitem(sys.modules, "torch", fake)
    monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace())
    for package in probes.CUDA_KERNELS:
        monkeypatch.delitem(sys.modules, package, raising=False)
    monkeypatch.setattr(probes.util, "find_spec", lambda name: None)
    return fake


def test_a_gpu_without_its_kernels_names_what_installs_them(torch):
    found = {one.name: one for one in probes.probe_torch()}
    assert found["torch"].text == "2.9, built for CUDA 12.8, 2 threads"
    assert found["cuda"] == Finding("cuda", "ok", "device 0, H100: 70.0 of 80.0 GiB free")
    for package in probes.CUDA_KERNELS:
        assert found[package].state == "missing"
        assert "-e '.[cuda]' --no-build-isolation" in found[package].text


def test_without_a_gpu_its_kernels_are_not_missed(torch):
    torch.cuda.is_available = lambda: False
    found = {one.name: one for one in probes.probe_torch()}
    assert found["cuda"] == Finding("cuda", "note", "no device, readers run on the CPU (see nvidia-smi)")
    assert {found[package].state for package in probes.CUDA_KERNELS} == {"note"}


def test_a_kernel_that_does_not_import_is_a_finding(torch, monkeypatch, tmp_path):
    (tmp_path / "mamba_ssm.py").write_text("raise OSError('undefined symbol')")
    (tmp_path / "causal_conv1d.py").write_text("__version__ = '1.5'")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(probes.util, "find_spec", lambda name: name)
    found = {one.name: one for one in probes.probe_torch()}
    assert found["mamba_ssm"].state == "missing"
    assert found["mamba_ssm"].text.startswith("does not work (OSError: undefined symbol); needed by a Mamba")
    assert found["causal_conv1d"] == Finding("causal_conv1d", "ok", "1.5")


# The hub


@pytest.fixture
def hub(monkeypatch):
    """A hub on this machine that answers with `hub.status`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(server.status)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    server.status = 200  # type: ignore[attr-defined]
    for name in (*probes.OFFLINE, "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("status", "text"), [(200, "answers"), (404, "answers (with status 404)")])
def test_a_hub_that_answers_is_there(hub, status, text):
    hub.status = status
    [one] = probes.probe_hub()
    assert one.state == "ok"
    assert one.text.endswith(text)


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "nonsense"])
def test_a_hub_that_does_not_answer_is_a_note(hub, monkeypatch, address):
    monkeypatch.setenv("HF_ENDPOINT", address)
    [one] = probes.probe_hub()
    assert one.state == "note"
    assert f"{address} does not answer" in one.text


@pytest.mark.parametrize("name", probes.OFFLINE)
def test_offline_the_hub_is_not_asked(hub, monkeypatch, name):
    monkeypatch.setenv(name, "1")
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("asked"))
    [one] = probes.probe_hub()
    assert one.text.startswith(f"not asked, {name} is set")
