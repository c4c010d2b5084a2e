"""How many labels of a wrong electronic state are found, and how many good ones are lost.

Usage: ``python scripts/benchmarks/wrong_states.py DATA [STEPS]``: DATA is the folder ``nh3bh3_sparc`` of the published
SPARC run (repository rahulumrao/sparc); its 2,180 configurations are labelled with GFN2-xTB. Two committees of two
DeePMD-kit models are trained, the members side by side: on labels of which 1.6 % are those of the triplet, a real wrong
state some eV too high, beside those that are wrong by themselves; and on labels with errors of 0.2, 0.5 and 1 eV, 1 %
each, energy and forces mixed from both states. What the committee suspects is computed again and judged, as in a
campaign, at the default z-score and at others. Targets: 90 % of the wrong states found, at most 2 % of the good labels
lost.
"""

from __future__ import annotations

import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read

from sparc_fw.campaign import Suspects
from sparc_fw.documents import Dataset, Label
from sparc_fw.labelers.xtb import XTBLabeler, XTBOptions
from sparc_fw.potentials.base import Evaluator
from sparc_fw.potentials.deepmd import DeepMDPotential
from sparc_fw.potentials.deepmd_input import DeepMDOptions
from sparc_fw.settings import Settings
from sparc_fw.suspicion import find_suspects, judge

NATURAL_FRACTION = 0.016
PLANTED_FRACTION = 0.01
ERRORS_EV = (0.2, 0.5, 1.0)
MEMBERS = 2
WRONG_EV = 1.0
"""A label so far from the DFT energy is that of another state."""
Z_SCORES = (4.0, 5.0, 6.0, 8.0, 10.0)


def configurations(folder: Path) -> tuple[list[Atoms], np.ndarray]:
    """The molecules, their box left out, and their DFT energies (eV)."""
    frames: list[Atoms] = []
    for path in sorted(folder.glob("iter_*/00.dft/AseMD.traj")):
        frames += read(path, ":")
    energies = np.array([frame.get_potential_energy() for frame in frames])
    return [Atoms(f.numbers, f.positions, info={"system": "nh3bh3", "spin": 0}) for f in frames], energies


def wrong_naturally(labels: list[Label], reference: np.ndarray) -> set[int]:
    """Labels whose energy the DFT energy contradicts, the mean offset taken off."""
    shift = np.array([label.energy for label in labels], dtype=float) - reference
    shift -= np.median(shift)
    print(f"against DFT, mean offset off: {np.abs(shift).max():.2f} eV at most")
    return set(np.flatnonzero(np.abs(shift) > WRONG_EV).tolist())


def triplet(label: Label, labeler: XTBLabeler) -> Label:
    """The same molecule in its lowest triplet."""
    other = label.frame.copy()
    other.info["spin"] = 2
    return labeler.label(other)


def blend(label: Label, other: Label, error: float) -> Label:
    """A label with an error in its energy (eV), and the forces of the same mixture of both states."""
    first, second = ((x.energy, x.forces) for x in (label, other))
    assert first[0] is not None
    assert second[0] is not None
    assert first[1] is not None
    assert second[1] is not None
    share = error / (second[0] - first[0])
    return replace(label, energy=first[0] + error, forces=(1 - share) * first[1] + share * second[1])


def train(labels: list[Label], steps: int, folder: Path) -> list[Evaluator]:
    """Train a committee on labels of which many are wrong, all of them in the training set."""
    potential = DeepMDPotential(
        DeepMDOptions(steps=steps, descriptor_neurons=[16, 32], fitting_neurons=[64, 64]), Settings()
    )

    def member(number: int) -> Evaluator:
        directory = folder / f"{number}"
        directory.mkdir()
        model = potential.train(Dataset(labels, []), number + 1, directory, lambda done, total: None)
        file = folder / f"{number}{model.suffix}"
        file.write_bytes(model.file)
        return potential.load(file)

    with ThreadPoolExecutor(MEMBERS) as pool:
        return list(pool.map(member, range(MEMBERS)))


def report(name: str, labels: list[Label], wrong: dict[int, str], labeler: XTBLabeler, steps: int) -> None:
    """Train, search, compute again, judge, and print."""
    started = time.monotonic()
    options = Suspects(z_score=min(Z_SCORES), max_fraction=1.0)
    with tempfile.TemporaryDirectory() as temporary:
        evaluators = train(labels, steps, Path(temporary))
        trained = time.monotonic()
        suspects = find_suspects(evaluators, labels, options)
    print(f"{name}: {trained - started:.0f} s training, {time.monotonic() - trained:.0f} s search")
    place = {id(label): number for number, label in enumerate(labels)}
    verdicts = {}
    for suspect in suspects:
        second = labeler.recheck(suspect.label.frame)
        verdicts[place[id(suspect.label)]] = judge(suspect.label, second, suspect.predicted_energy, options)[0]
    kinds = list(dict.fromkeys(wrong.values()))
    print(f"  {'z-score':>8} {'again':>6} " + " ".join(f"{kind + ' found':>22}" for kind in kinds) + "  good lost")
    for z_score in sorted({*Z_SCORES, Suspects().z_score}):
        limit = max(1, int(Suspects().max_fraction * len(labels)))
        again = [place[id(suspect.label)] for suspect in suspects if suspect.z_score >= z_score][:limit]
        dropped = {number for number in again if verdicts[number] == "dropped"}
        columns = []
        for kind in kinds:
            mine = {number for number, what in wrong.items() if what == kind}
            columns.append(f"{len(mine & dropped):>9} of {len(mine):<3}{len(mine & dropped) / len(mine):>6.0%}")
        lost = len(dropped - set(wrong))
        share = lost / (len(labels) - len(wrong))
        default = " (default)" if z_score == Suspects().z_score else ""
        print(f"  {z_score:>8g} {len(again):>6} " + " ".join(f"{c:>22}" for c in columns) + f"  {share:.2%}{default}")
    sys.stdout.flush()


def main(folder: Path, steps: int) -> None:
    """Measure and print."""
    labeler = XTBLabeler(XTBOptions(force_cap=None), Settings())
    frames, reference = configurations(folder)
    labels = [labeler.label(frame) for frame in frames]
    failed = [label for label in labels if label.status == "failed"]
    natural = wrong_naturally(labels, reference)
    print(f"{len(labels)} labels: {len(failed)} failed, {len(natural)} of a wrong state by themselves")
    rng = np.random.default_rng(1)
    chosen = [i for i in rng.permutation(len(labels)).tolist() if i not in natural]
    count, each = round(NATURAL_FRACTION * len(labels)), round(PLANTED_FRACTION * len(labels))
    high = {i: triplet(labels[i], labeler) for i in chosen[: max(count, each * len(ERRORS_EV))]}

    mixed, wrong = list(labels), dict.fromkeys(natural, "natural")
    for i in chosen[:count]:
        mixed[i] = replace(labels[i], energy=high[i].energy, forces=high[i].forces)
        wrong[i] = "triplet"
    gaps = [(mixed[i].energy or 0.0) - (labels[i].energy or 0.0) for i in chosen[:count]]
    print(f"triplets: {min(gaps):.2f} to {max(gaps):.2f} eV too high, median {np.median(gaps):.2f} eV")
    report("wrong states", mixed, wrong, labeler, steps)

    mixed, wrong = list(labels), dict.fromkeys(natural, "natural")
    for number, i in enumerate(chosen[: each * len(ERRORS_EV)]):
        error = ERRORS_EV[number // each]
        mixed[i] = blend(labels[i], high[i], error)
        wrong[i] = f"{error:g} eV"
    report("planted errors", mixed, wrong, labeler, steps)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 10000)
