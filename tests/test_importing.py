"""Labels of files into a stored campaign: what is taken, what is refused and why, and what is trained on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from fireworks import LaunchPad
from typer.testing import CliRunner

from sparc_fw.cli import app
from sparc_fw.cli.labels import why as last_words
from sparc_fw.dataset import dataset
from sparc_fw.documents import FROM_FILE, Label
from sparc_fw.formats.ase_files import labelled_atoms, write_extxyz
from sparc_fw.formats.reading import read_labels
from sparc_fw.label_import import ImportOutcome, import_labels
from sparc_fw.label_table import Filter, duplicates, label_rows
from sparc_fw.loading import LoadedCampaign
from sparc_fw.same_frames import frame_hash
from sparc_fw.settings import Settings
from sparc_fw.store import Store
from sparc_fw.submission import submit
from sparc_fw.testing import MorseLabeler, MorseOptions

Loader = Callable[..., LoadedCampaign]
Work = Callable[..., None]
INFO = {"system": "h3", "charge": 0, "spin": 1}


def morse_labeler(**options: Any) -> MorseLabeler:
    """The labeler of the campaign."""
    return MorseLabeler(MorseOptions(force_cap=30.0, **options), Settings())


def trimer(shift: float, info: dict[str, Any] | None = None) -> Atoms:
    frame = Atoms("H3", positions=[[0, 0, 0], [1.6 + shift, 0, 0], [0, 1.5, 0.1]])
    frame.info = dict(INFO if info is None else info)
    return frame


def computed(count: int, **options: Any) -> list[Label]:
    """What another campaign with the same labeler would export."""
    labeler = morse_labeler(**options)
    return [labeler.label(trimer(0.03 * number)) for number in range(count)]


@pytest.fixture
def begun(store: Store, launchpad: LaunchPad, load: Loader, work: Work) -> str:
    """A campaign whose start ran."""
    campaign_id = submit(store, launchpad, load(labeler={"kind": "morse", "force_cap": 30.0}))
    work(1)
    return campaign_id


@pytest.fixture
def take(store: Store, begun: str, tmp_path: Path) -> Callable[..., ImportOutcome]:
    """Import frames or labels by way of a file."""

    def run(entries: list[Any], trust: bool = False, system: str | None = None) -> ImportOutcome:
        path = tmp_path / "given.extxyz"
        if isinstance(entries[0], Label):
            write_extxyz(entries, path)
        else:
            write(path, entries, format="extxyz")
        return import_labels(store, Settings(), begun, read_labels(path), trust, system)

    return run


def refusals(outcome: ImportOutcome) -> dict[str, int]:
    return dict(next(iter(outcome.files.values())).refused)


def stripped(labels: list[Label]) -> list[Atoms]:
    """Labels as somebody without sparc_fw would have written them."""
    frames = [labelled_atoms(label) for label in labels]
    for frame in frames:
        frame.info = {}
    return frames


def test_labels_of_the_same_settings_are_hits_for_whoever_asks(
    take: Callable[..., ImportOutcome], store: Store, begun: str
) -> None:
    labels = computed(6)
    outcome = take(labels)
    assert (outcome.stored, outcome.trained, outcome.iteration) == (6, 6, 1)
    assert labels[2].key in store.ask([labels[2].key], "another", 0, None)
    found = store.labels_by_key([labels[2].key])[labels[2].key]
    assert (found.energy, found.code, found.settings_hash) == (labels[2].energy, "numpy", labels[2].settings_hash)
    again = take(labels)
    assert (again.stored, again.known, again.trained, again.already_trained) == (0, 6, 0, 6)
    assert store.framesets.count_documents({"campaign_id": begun, "role": "import"}) == 1


def test_other_settings_and_changed_frames_are_refused(take: Callable[..., ImportOutcome]) -> None:
    assert refusals(take(computed(4, seconds=0.001))) == {"settings": 4}
    assert refusals(take(stripped(computed(4)))) == {"settings": 4}
    changed = computed(1)[0]
    changed.frame.positions[0, 0] += 0.01
    assert refusals(take([changed])) == {"changed": 1}


def test_what_is_taken_on_trust_never_passes_for_computed(take: Callable[..., ImportOutcome], store: Store) -> None:
    labels = computed(4)
    outcome = take(stripped(labels), trust=True)
    assert outcome.trained == 4
    # Whoever asks the labeler finds nothing.
    assert store.ask([label.key for label in labels], "another", 0, None) == {}
    found = outcome.taken[1]
    stored = store.labels_by_key([found.key])[found.key]
    assert (stored.code, stored.settings_hash) == (FROM_FILE, "")
    assert stored.energy == pytest.approx(labels[1].energy)
    assert "on trust from" in stored.message
    assert store.count_paid([found.key]) == 0
    again = take(stripped(labels), trust=True)
    assert (again.stored, again.known, again.trained, again.already_trained) == (0, 4, 0, 4)
    # The same frames with a proof are known, too, and not trained on twice.
    proven = take(labels)
    assert (proven.trained, proven.already_trained) == (0, 4)


def test_a_trusted_frame_with_another_energy_is_refused(take: Callable[..., ImportOutcome]) -> None:
    labels = computed(3)
    take(stripped(labels), trust=True)
    frames = stripped(labels)
    frames[0].calc.results["energy"] += 0.5
    assert refusals(take(frames, trust=True)) == {"conflict": 1}


@pytest.mark.parametrize("what", ["energy", "forces"])
def test_an_export_whose_numbers_were_changed_proves_nothing(
    what: str, store: Store, begun: str, tmp_path: Path
) -> None:
    path, edited = tmp_path / "ours.extxyz", tmp_path / "edited.extxyz"
    write_extxyz(computed(4), path)
    frames = read(path, index=":")
    for frame in frames:
        results = {name: np.array(frame.calc.results[name]) for name in ("energy", "forces")}
        # Somebody recomputes our frames and writes them with all that they carry.
        results[what] = results[what] * 1.01 + 0.002
        frame.calc = SinglePointCalculator(frame, energy=float(results["energy"]), forces=results["forces"])
    write(edited, frames, format="extxyz")
    outcome = import_labels(store, Settings(), begun, read_labels(edited))
    assert refusals(outcome) == {"changed": 4}
    assert import_labels(store, Settings(), begun, read_labels(edited), trust=True).trained == 4
    assert store.ask([label.key for label in computed(4)], "another", 0, None) == {}


@pytest.mark.parametrize("charge", [0.5, "x"])
def test_a_charge_that_is_no_whole_number_is_refused(charge: object, take: Callable[..., ImportOutcome]) -> None:
    frames = stripped(computed(2))
    frames[1].info["charge"] = charge
    assert refusals(take(frames, trust=True)) == {"unknown_system": 1}


def test_every_bad_configuration_is_counted_by_its_reason(take: Callable[..., ImportOutcome]) -> None:
    good = computed(9)
    nan, heavy, large, overlap, capped = good[1], good[2], good[3], good[4], good[5]
    assert nan.forces is not None
    nan.forces[0, 0] = np.nan
    heavy.frame.numbers[0] = 2
    overlap.frame.positions[1] = (0.1, 0, 0)
    assert capped.forces is not None
    capped.forces[0] = (40.0, 0, 0)
    large.frame = Atoms("H4", positions=np.eye(4, 3) * 3)
    large.forces = np.zeros((4, 3))
    charged = good[6]
    charged.frame.info |= {"charge": 1}
    frames = [labelled_atoms(label) for label in good]
    frames[7].calc.results.pop("forces")
    frames[8].calc.results.pop("energy")
    frames[3].info.pop("system", None)
    outcome = take([*frames, frames[0]], trust=True)
    assert refusals(outcome) == {
        "nan": 1,
        "unknown_species": 1,
        "unknown_system": 2,
        "overlap": 1,
        "force_cap": 1,
        "no_forces": 1,
        "no_energy": 1,
        "duplicate": 1,
    }
    assert outcome.stored == 1


@pytest.mark.parametrize(("energy", "force"), [(1 / 27.2114, 1.0), (1.0, -1.0), (1.0, 1 / 51.422)])
def test_units_that_do_not_fit_each_other_are_refused(
    take: Callable[..., ImportOutcome], energy: float, force: float
) -> None:
    frames = stripped(computed(8))
    for frame in frames:
        frame.calc.results["energy"] *= energy
        frame.calc.results["forces"] *= force
    outcome = take(frames, trust=True)
    assert refusals(outcome) == {"units": 8}
    assert "it looks as if" in next(iter(outcome.files.values())).examples["units"]


def test_energies_of_another_reference_are_refused(
    take: Callable[..., ImportOutcome], store: Store, launchpad: LaunchPad, work: Work
) -> None:
    work(4)  # some labels of the campaign's own
    frames = stripped(computed(3))
    for frame in frames:
        frame.calc.results["energy"] -= 100.0
    assert refusals(take(frames, trust=True)) == {"reference": 3}


def test_a_known_frame_with_another_energy_is_refused(take: Callable[..., ImportOutcome]) -> None:
    labels = computed(3)
    take(labels)
    assert labels[0].energy is not None
    frames = stripped(labels)
    frames[0].calc.results["energy"] += 0.5
    assert refusals(take(frames, trust=True)) == {"conflict": 1}


def test_frames_of_the_test_set_are_never_trained_on(
    take: Callable[..., ImportOutcome], store: Store, begun: str
) -> None:
    test = store.frameset(begun, 0, "test")
    assert test is not None
    labeler = morse_labeler()
    held = [labeler.label(frame) for frame in store.frames(test)[:3]]
    outcome = take([*held, *computed(2)])
    assert (outcome.in_test_set, outcome.trained) == (3, 2)
    trained = {key for keys in store.training_keys(begun, 99) for key in keys}
    assert not trained & {label.key for label in held}


def test_the_running_campaign_trains_on_the_import_and_pays_nothing(
    take: Callable[..., ImportOutcome], store: Store, load: Loader, work: Work, begun: str
) -> None:
    before = dataset(store, store.campaign(begun), 0)
    labels = computed(10)
    take(labels)
    work()
    campaign = store.campaign(begun)
    first, second = dataset(store, campaign, 0), dataset(store, campaign, 1)
    keys = {label.key for label in labels}
    assert not keys & {label.key for label in (*first.train, *first.validation)}
    held_out = {label.key for label in second.validation}
    assert keys <= {label.key for label in second.train} | held_out
    assert len(keys & held_out) == 1, "a tenth of the import is held out, like that of every frame set"
    assert {label.key for label in first.validation} <= held_out
    assert not before.train
    assert not keys & set(store.paid_keys(begun, 99))
    hashes = [frame_hash(label.frame) for label in (*second.train, *second.validation)]
    assert len(hashes) == len(set(hashes))


def test_labels_that_come_while_a_selection_acts_wait_for_the_iteration_after_it(
    take: Callable[..., ImportOutcome], store: Store, begun: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    early, late, pick, other = computed(8)[:3], computed(8)[3:6], computed(8)[6], computed(8)[7]
    assert take(early).iteration == 1
    save = store.save_labels

    def select_then_save(*arguments: Any, **values: Any) -> None:
        store.add_frames(begun, 1, "train", [pick.frame], [pick.key])
        save(*arguments, **values)

    # The import has looked which iteration is the last one, and that one's selection acts before it writes.
    monkeypatch.setattr(store, "save_labels", select_then_save)
    outcome = take(late)
    assert (outcome.iteration, outcome.trained) == (2, 3)
    expected = {pick.key, *(label.key for label in early)}
    first = {key for keys in store.training_keys(begun, 1) for key in keys}
    assert expected <= first
    assert not {label.key for label in late} & first
    store.add_frames(begun, 2, "train", [other.frame], [other.key])
    assert {key for keys in store.training_keys(begun, 1) for key in keys} == first
    second = {key for keys in store.training_keys(begun, 2) for key in keys}
    assert second - first == {other.key, *(label.key for label in late)}


def test_a_campaign_that_has_concluded_trains_on_nothing_more(
    take: Callable[..., ImportOutcome], store: Store, begun: str
) -> None:
    store.selections.insert_one({"_id": "last", "campaign_id": begun, "iteration": 0, "go_on": False})
    outcome = take(computed(2))
    assert (outcome.stored, outcome.trained, outcome.iteration) == (2, 0, None)
    assert outcome.sentence == "trimer has concluded: nothing of it will be trained any more"


def boxed(label: Label, edge: float) -> Label:
    """The label as a periodic code gives it: wrapped into a box, with a stress."""
    frame = label.frame.copy()
    frame.info = dict(label.frame.info)
    frame.positions -= (0.5, 0.4, 0.3)
    frame.set_cell([edge, edge, edge])
    frame.pbc = True
    frame.wrap()
    return replace(label, frame=frame, stress=np.zeros(6))


def test_molecules_in_boxes_are_taken_as_molecules_where_the_system_is_one(
    take: Callable[..., ImportOutcome], store: Store
) -> None:
    labels = computed(3)
    outcome = take(stripped([boxed(labels[0], 12.0), boxed(labels[1], 7.0), boxed(labels[2], 11.0)]), trust=True)
    report = next(iter(outcome.files.values()))
    assert (report.taken, report.unboxed, dict(report.refused)) == (2, 2, {"periodic": 1})
    told = report.examples["periodic"]
    assert "expected a molecule, as the structure of h3 is: in its box it is 5.37 Å from its nearest image" in told
    for found, label in zip(outcome.taken, (labels[0], labels[2]), strict=True):
        assert not found.frame.pbc.any()
        assert found.stress is None
        assert np.allclose(found.frame.get_all_distances(), label.frame.get_all_distances(), atol=1e-6)
        assert np.allclose(found.forces, label.forces)  # type: ignore[arg-type]


def test_what_the_labeler_computed_of_a_periodic_frame_is_no_label_of_a_molecule(
    take: Callable[..., ImportOutcome],
) -> None:
    periodic = boxed(computed(1)[0], 12.0)
    outcome = take([morse_labeler().label(periodic.frame)], trust=True)
    assert refusals(outcome) == {"periodic": 1}


def test_a_periodic_frame_is_refused_by_a_labeler_of_molecules(load: Loader, store: Store) -> None:
    pytest.importorskip("pyscf", reason="pyscf is not installed: pip install 'sparc_fw[pyscf]'")
    from sparc_fw.importing import Judge
    from sparc_fw.labelers.pyscf import PySCFLabeler, PySCFOptions

    boxed(computed(1)[0], 12.0).frame.write("box.vasp")
    crystal = load(systems=[{"name": "h3", "structure": "box.vasp", "spin": 1}])
    judge = Judge(crystal.campaign, crystal.files, PySCFLabeler(PySCFOptions(), Settings()), True)
    path = Path("box.extxyz")
    write_extxyz([boxed(computed(1)[0], 12.0)], path)
    assert judge.judge(read_labels(path)).files[path].refused == {"periodic": 1}


def test_labels_are_filtered_and_duplicates_found(take: Callable[..., ImportOutcome], store: Store, begun: str) -> None:
    labels = computed(3)
    turned = labels[0].frame.copy()
    turned.rotate(40, "z")
    turned = turned[[2, 0, 1]]
    turned.info = dict(INFO)
    take([*labels, morse_labeler().label(turned)])
    rows, found = label_rows(store, begun)
    imported = [row for row in rows if Filter(role="import").takes(row)]
    assert len(imported) == 4
    assert {row.status for row in rows if row.role == "train"} == {"missing"}
    wanted = Filter(status="ok", energies=(None, labels[1].energy / 3 if labels[1].energy else None))
    assert all(row.energy_per_atom is not None for row in rows if wanted.takes(row))
    pairs = duplicates([found[row.key] for row in imported], within=1e-3)
    assert len(pairs) == 1
    assert pairs[0].distance == pytest.approx(0.0, abs=1e-9)
    assert pairs[0].energy_difference == pytest.approx(0.0, abs=1e-9)


def test_labels_tell_why_they_failed_and_what_a_second_calculation_said(store: Store, begun: str) -> None:
    keys = [key for record in store.framesets_of(begun) if record["role"] == "train" for key in record["keys"]][:3]
    good, again = morse_labeler().label(trimer(0.0)), morse_labeler().label(trimer(0.1))
    words = f"scf: iteration 60\n{'x' * 100} no convergence after 60 steps"
    failed = replace(good, status="failed", reason="not_converged", message=words, energy=None, forces=None, attempts=3)
    store.save_labels(
        [replace(failed, key=keys[0]), *(replace(good, key=key) for key in keys[1:])], begun, 0, 7, 9, "/launch"
    )
    scores = {"z_energy": 8.0, "z_force": 1.0, "predicted_energy": -3.5}
    for key in keys[1:]:
        store.flag_suspect(key, begun, 0, "h3", scores)
    store.judge_suspect(keys[1], "dropped", "a second calculation lies elsewhere", again)
    rows = {row.key: row for row in label_rows(store, begun)[0]}
    row = rows[keys[0]]
    assert (row.message, row.attempts, row.fw_id, row.launch_id, row.directory) == (words, 3, 7, 9, "/launch")
    assert (row.host, row.version, row.settings_hash) == (good.host, good.version, good.settings_hash)
    assert (row.cores, row.suspect) == (good.cores, None)
    dropped, pending = rows[keys[1]], rows[keys[2]]
    assert (dropped.status, dropped.reason, dropped.energy) == ("failed", "wrong_state", good.energy)
    assert dropped.suspect is not None
    assert (dropped.suspect.state, dropped.suspect.energy_again) == ("dropped", again.energy)
    assert dropped.as_dict()["suspect"]["predicted_energy"] == -3.5
    assert pending.suspect is not None
    assert (pending.suspect.state, pending.suspect.energy_again) == ("pending", None)
    assert last_words(row).startswith("…xxx")
    assert last_words(row).endswith("xxx no convergence after 60 steps")
    assert len(last_words(row)) == 80
    assert f"suspect, dropped: {good.energy:.3f} eV, again {again.energy:.3f} eV, committee -3.5" in last_words(dropped)


def test_commands(
    take: Callable[..., ImportOutcome],
    store: Store,
    begun: str,
    mongo_uri: str,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("SPARC_FW_MONGO_URI", mongo_uri)
    monkeypatch.setenv("SPARC_FW_DATABASE", database)
    monkeypatch.chdir(tmp_path)  # a launch leaves its own folder behind as the working directory
    write_extxyz(computed(4), tmp_path / "ours.extxyz")
    write(tmp_path / "theirs.extxyz", stripped(computed(6)), format="extxyz")

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(app, list(arguments))

    done = run("import", begun, "ours.extxyz", "theirs.extxyz")
    assert done.exit_code == 0, done.output
    assert "theirs.extxyz: refused 6 as settings" in done.stdout
    assert "stored 4 labels; 0 were there already" in done.stdout
    assert run("import", begun, "theirs.extxyz").exit_code == 1
    assert run("import", begun, "absent.extxyz").exit_code == 2
    trusted = json.loads(run("import", begun, "theirs.extxyz", "--trust-settings", "--json").stdout)
    assert (trusted["stored"], trusted["known"], trusted["trained"]) == (2, 4, 2)
    shown = run("labels", begun, "--role", "import", "--plots", "pictures", "--duplicates", "0.001")
    assert "6 of " in shown.stdout
    names = ["label_compositions.png", "label_energies.png", "label_forces.png", "labels_per_iteration.png"]
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == names
    rows = json.loads(run("labels", begun, "--status", "ok", "--json").stdout)["labels"]
    assert len(rows) == 6
    for option, allowed in (("--status", "ok, failed, missing"), ("--reason", "not_converged, timeout, crashed")):
        refused = run("labels", begun, option, "nonsense")
        assert refused.exit_code == 2
        assert f"{option[2:]}: found 'nonsense', expected one of {allowed}" in refused.stderr
    assert run("labels", begun, "--system", "nonsense").exit_code == 2
    exported = run("export", begun, "--to", "traj", "--out", "all.traj")
    assert "wrote 6 labels" in exported.stdout


def test_import_after_export_changes_nothing(finished: str, store: Store, launchpad: LaunchPad, load: Loader) -> None:
    from sparc_fw.export import export_labels

    path, count = export_labels(store, finished, "ani", Path("all.h5"))
    before = list(store.labels.find({}, {"asked_by": 0, "created": 0}).sort("_id", 1))
    outcome = import_labels(store, Settings(), finished, read_labels(path))
    assert (outcome.known, outcome.stored, refusals(outcome)) == (count, 0, {})
    assert list(store.labels.find({}, {"asked_by": 0, "created": 0}).sort("_id", 1)) == before
    assert "is completed" in outcome.sentence
