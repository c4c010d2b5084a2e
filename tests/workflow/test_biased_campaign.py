"""Windows and pulls as parallel Fireworks of a campaign, and what its report reads from them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from fireworks import LaunchPad

from held_walk import HELD_PLUGIN
from sparc_fw.biased_runs import PullsFound, WindowsFound, as_dicts
from sparc_fw.loading import LoadedCampaign
from sparc_fw.planning import plan_campaign
from sparc_fw.report import write_report
from sparc_fw.status import campaign_status
from sparc_fw.store import Store
from sparc_fw.submission import submit
from sparc_fw.testing import morse, write_plugin

CV = {"kind": "distance", "atoms": [0, 1]}
KELVIN = 1000.0
RUN = {"kind": "held_walk", "timestep_fs": 1.0, "frame_every_fs": 5.0, "temperature_K": [KELVIN]}


@pytest.fixture(scope="session")
def plugin_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As everywhere, but with an explorer that knows biases."""
    folder = tmp_path_factory.mktemp("held_plugin")
    write_plugin(folder, HELD_PLUGIN)
    return folder


def campaign(load: Callable[..., LoadedCampaign], folder: Path) -> LoadedCampaign:
    """Two atoms: windows that begin at the nearest label, windows that begin from files, and pulls."""
    for name, distance in {"dimer": 1.5, "near": 1.6, "far": 2.0}.items():
        Atoms("H2", [[0, 0, 0], [distance, 0, 0]]).write(folder / f"{name}.xyz")
    held = {"kind": "umbrella", "cv": CV, "stiffness": 6.0}
    wall = {"kind": "walls", "cv": CV, "upper": 1.8, "stiffness": 2.0}
    pull = {"kind": "steered", "cv": CV, "first": 1.5, "last": 2.5, "per_ps": [1.0, 1.0, 2.0], "stiffness": 30.0}
    return load(
        name="biased",
        systems=[{"name": "h2", "structure": "dimer.xyz"}],
        start=[{"kind": "scan", "atoms": [0, 1], "first": 1.2, "last": 2.4, "points": 13}],
        potential={"kind": "blurred_morse", "blur": 0.0},
        committee=2,
        explorer=[
            {
                **RUN, "name": "windows", "duration_ps": [2.5], "bias": [held, wall], "starts": ["nearest"],
                "windows": {"first": 1.3, "last": 2.1, "count": 5},
            },
            {
                **RUN, "name": "files", "duration_ps": [0.2], "bias": [held],
                "windows": {"centres": [1.6, 2.0], "starts": ["near.xyz", "far.xyz"]},
            },
            {**RUN, "name": "pulls", "duration_ps": [1.0], "replicas": 3, "bias": [pull]},
        ],
        convergence={
            "reach": [{"cv": CV, "first": 1.4, "last": 2.0, "parts": 6}],
            "observables": [
                {"kind": "free_energy", "explorer": "windows", "tolerance_eV": 0.1},
                {"kind": "work", "tolerance_eV": 1.0},
                {"kind": "rdf", "elements": ["H", "H"], "r_max_A": 3.0, "tolerance": 0.5},
                {"kind": "energy_difference", "of": ["near.xyz", "far.xyz"]},
            ],
        },
        test=None,
    )  # fmt: skip


@pytest.mark.slow
def test_windows_and_pulls_from_fireworks_to_the_report(
    store: Store,
    launchpad: LaunchPad,
    load: Callable[..., LoadedCampaign],
    work: Callable[..., None],
    tmp_path: Path,
) -> None:
    loaded = campaign(load, tmp_path)
    assert plan_campaign(loaded).fireworks >= 2 + 1 + 2 + 10 + 2
    name = submit(store, launchpad, loaded)
    work()
    explores = list(launchpad.fireworks.find({"spec.stage": "explore", "spec.iteration": 0}).sort("spec.replica", 1))
    assert [firework["name"] for firework in explores[:2]] == [
        "biased 000 explore replica 0 windows window 1.3",
        "biased 000 explore replica 1 windows window 1.5",
    ]
    assert len(explores) == 5 + 2 + 3
    begins = []
    for replica in range(7):
        exploration = store.exploration(name, 0, replica)
        assert exploration is not None
        begins.append(exploration.frame(0).get_distance(0, 1))
    np.testing.assert_allclose(begins, [1.3, 1.5, 1.7, 1.9, 2.1, 1.6, 2.0], atol=1e-6)

    status = campaign_status(store, launchpad, name)
    files, found = write_report(store, status, tmp_path / "report")
    windows, apart, pulls = (
        next(each for each in found if each.place.explorer == title) for title in ("windows", "files", "pulls")
    )
    assert isinstance(windows, WindowsFound)
    assert windows.result is not None
    assert windows.result.problem is None
    [curve] = windows.result.curves
    distance = curve.at[:, None, None] * np.array([[0, 0, 0], [1, 0, 0]])
    exact = morse(distance)[0] - 2 * units.kB * KELVIN * np.log(curve.at)
    lowest = int(curve.energy.argmin())
    off = np.abs(curve.energy - (exact - exact[lowest])) / np.maximum(curve.error, 1e-3)
    assert np.mean(off < 2) > 0.8
    assert off.max() < 4
    assert isinstance(apart, WindowsFound)
    assert apart.place.variables == ["distance 0-1"]

    assert isinstance(pulls, PullsFound)
    slow, fast = pulls.barriers
    assert (slow.per_ps, slow.runs, fast.per_ps, fast.runs) == (1.0, 2, 2.0, 1)
    assert slow.spread is not None
    assert slow.spread > 0
    assert slow.height > 0.3
    assert slow.jarzynski is not None
    assert slow.jarzynski[0] <= slow.mean.max() + 1e-9
    assert fast.jarzynski is None

    text = files[0].read_text()
    assert "explorer windows, h2: free energy along distance 0-1: lowest at" in text
    assert "explorer pulls, h2: distance 0-1 pulled at 1 Å/ps and 1000 K: highest work" in text
    assert {"free_energy-windows-h2.png", "work-pulls-h2.png"} <= {file.name for file in files}
    rows = json.loads(json.dumps(list(as_dicts(found))))
    assert rows[0]["centres"] == [[1.3], [1.5], [1.7], [1.9], [2.1]]
    assert len(rows[0]["curves"][0]["at"]) == len(curve.at)
    assert rows[2]["barriers"][0]["height"] == pytest.approx(slow.height)

    # The first time nobody can tell whether anything moves; the second time nothing does.
    verdicts = [row["verdict"] for row in status["iterations"]]
    assert verdicts == ["continue", "converged"]
    assert (
        "highest work (pulls of h2, distance 0-1, 1000 K) was seen for the first time"
        in status["iterations"][0]["sentence"]
    )
    selection = store.selection(name, 1)
    assert selection is not None
    seen = {observed["key"]: observed for observed in selection.observed}
    assert list(seen) == [
        "observables[0]: free energy (windows of h2, distance 0-1)",
        "observables[1]: highest work (pulls of h2, distance 0-1, 1000 K)",
        "observables[2]: density of distances of H-H",
        "observables[3]: energy of far.xyz above near.xyz",
    ]
    ends = np.array([[[0, 0, 0], [distance, 0, 0]] for distance in (1.6, 2.0)], dtype=float)
    [energy] = seen["observables[3]: energy of far.xyz above near.xyz"]["values"]
    assert energy == pytest.approx(float(np.diff(morse(ends)[0])[0]))
    assert "energy of far.xyz above near.xyz moved by 0 ± 0 eV (limit 0.03)" in status["sentence"]
