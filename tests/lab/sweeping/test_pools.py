"""Ray and submitit start what they are given, and survive what it does."""

import subprocess
import sys
import textwrap
import types

import pytest

from attention.errors import ConfigError
from attention.lab.sweeping import grid
from attention.lab.sweeping.commands import Job
from attention.lab.sweeping.ray_pool import RayPool
from attention.lab.sweeping.slurm_pool import SlurmPool
from tests.conftest import ROOT

NEEDS = grid({"seed": (0,)})


def jobs(tmp_path):
    sources = {
        "fine": "import os; print(os.getcwd())",
        "raises": "raise KeyError('a')",
        "killed": "import os; os.kill(os.getpid(), 9)",
    }
    return [
        Job(name, (sys.executable, "-c", source), str(tmp_path), str(tmp_path / f"{name}.log"))
        for name, source in sources.items()
    ]


def outcomes(pool, tmp_path):
    for job in jobs(tmp_path):
        pool.submit(job)
    return {job.name: outcome for job, outcome in (pool.wait() for _ in range(3))}


def check(found, tmp_path):
    assert (found["fine"].reason, found["fine"].last) == ("", str(tmp_path))
    assert found["raises"].reason == "KeyError: 'a'"
    assert found["killed"].reason.startswith("killed by signal 9")


# Ray forks, which must not be done where JAX's threads run: each test has a process for it.
ON_THIS_MACHINE = """
    import pathlib, sys
    from attention.lab.sweeping.ray_pool import RayPool
    from tests.lab.sweeping.test_pools import NEEDS, check, outcomes

    path = pathlib.Path(sys.argv[1])
    with RayPool(NEEDS) as pool:
        import ray  # not before: it reads the environment then

        assert pool.slots >= 1
        assert all(node["NodeManagerAddress"] == "127.0.0.1" for node in ray.nodes())
        check(outcomes(pool, path), path)
    assert not ray.is_initialized()
"""
WITHOUT_A_TPU = """
    import pytest
    from attention.lab.sweeping.ray_pool import RayPool
    from tests.lab.sweeping.test_pools import NEEDS

    with pytest.raises(ValueError, match="2 CPU, 1 TPU-v5litepod-8-head"):
        RayPool(NEEDS.needing(resources={"TPU-v5litepod-8-head": 1}))
"""


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(ON_THIS_MACHINE, id="on this machine", marks=pytest.mark.slow),
        pytest.param(WITHOUT_A_TPU, id="without a TPU", marks=pytest.mark.long),
    ],
)
def test_ray(tmp_path, source):
    forks = ("-W", "error:os.fork:RuntimeWarning", "-W", "error:This process:DeprecationWarning")
    ran = subprocess.run(
        [sys.executable, *forks, "-c", textwrap.dedent(source), str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_a_ray_that_does_not_start_is_one_line(monkeypatch):
    starts, stops = [], []

    def init(**settings):
        starts.append(settings)
        raise Exception("timed out\nduring startup")

    ray = types.SimpleNamespace(init=init, shutdown=lambda: stops.append(1))
    monkeypatch.setitem(sys.modules, "ray", ray)
    with pytest.raises(ConfigError, match="did not start.*timed out during startup.*=print"):
        RayPool(NEEDS)
    assert len(starts) == len(stops) == 3
    assert {settings["address"] for settings in starts} == {"local"}


@pytest.mark.parametrize(
    ("make", "module", "words"),
    [
        (lambda path: RayPool(NEEDS), "ray", "--executor=local needs ray.*--executor=print"),
        (lambda path: SlurmPool(NEEDS, path), "submitit", "--executor=slurm needs submitit"),
    ],
)
def test_what_is_not_installed_is_named(tmp_path, monkeypatch, make, module, words):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=words):
        make(tmp_path)


def test_slurm_must_be_there(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match="no sbatch"):
        SlurmPool(NEEDS, tmp_path)


@pytest.mark.slow
def test_submitit_runs_jobs(tmp_path):
    needs = NEEDS.needing(slurm={"timeout_min": 5, "slurm_partition": "long"})
    with SlurmPool(needs, tmp_path / "slurm", cluster="local", poll=0.1) as pool:
        check(outcomes(pool, tmp_path), tmp_path)


def test_a_setting_that_submitit_has_not_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"needing\(slurm=...\).*partitions"):
        SlurmPool(NEEDS.needing(slurm={"partitions": "a"}), tmp_path, cluster="local")
