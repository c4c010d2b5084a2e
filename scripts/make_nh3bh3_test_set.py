"""Make the test set of the campaign nh3bh3: reactive frames that no start frame or exploration is drawn like.

GFN1-xTB dynamics is driven by well-tempered metadynamics on two coordination numbers, of boron and of nitrogen with
hydrogen, so that hydrogens move between the halves and H2 comes off. Farthest points in sorted interatomic distances
are taken from all trajectories, half of them with a B-N distance below 3 Å, relaxed for a moment without hills, and
labelled with the campaign's own labeler::

    python scripts/make_nh3bh3_test_set.py fw_templates/campaigns/nh3bh3_test.extxyz
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from ase.md.langevin import Langevin

from sparc_fw.errors import StageFailed
from sparc_fw.geometry.build import structure_of
from sparc_fw.geometry.descriptor import sorted_distances
from sparc_fw.geometry.scan import scan_frames
from sparc_fw.geometry.sources import ScanSource
from sparc_fw.labelers.pyscf import PySCFLabeler, PySCFOptions
from sparc_fw.labelers.xtb import XTBLabeler, XTBOptions
from sparc_fw.loading import load_campaign
from sparc_fw.selectors.diversity import farthest_points
from sparc_fw.settings import Settings

CAMPAIGN = Path(__file__).parents[1] / "fw_templates" / "campaigns" / "nh3bh3.yaml"
SEED = 20251
PROCESSES = 2
B, N, HYDROGENS = 0, 1, slice(2, 8)

STARTS = ScanSource(kind="scan", atoms=[B, N], first=1.66, last=3.1, points=4)
RUNS_PER_START = 2
TEMPERATURE_K = 300.0
TIMESTEP_FS = 0.5
STEPS = 16000
EVERY = 20
FRICTION_PER_FS = 0.05
"""Strong, because it has to take away the work of the hills."""
RELEASE_STEPS = 24

HALF_A = np.array([1.60, 1.40])
"""B-H and N-H distance at which a hydrogen counts one half, Å."""
HILL_EV, HILL_WIDTH, HILL_EVERY, BIAS_FACTOR = 0.10, 0.20, 40, 80.0
WALL_A, WALL_EV_A2 = 3.6, 2.0

SPLIT_A = 3.0
"""Half of the frames have a shorter B-N distance."""
SHORTEST_A, LARGEST_FORCE = 0.60, 12.0
SPARE = 4


def coordinations(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordination numbers of boron and nitrogen with hydrogen, sum of 1/(1 + (r/r0)^6), and their gradients.

    Parameters
    ----------
    positions : ndarray of shape (8, 3)
        Å; B, N, then hydrogens.

    Returns
    -------
    values : ndarray of shape (2,)
    gradients : ndarray of shape (2, 8, 3)
        1/Å.
    """
    values, gradients = np.zeros(2), np.zeros((2, *positions.shape))
    for centre in (B, N):
        vectors = positions[HYDROGENS] - positions[centre]
        distances = np.linalg.norm(vectors, axis=1)
        power = (distances / HALF_A[centre]) ** 6
        each = 1.0 / (1.0 + power)
        slopes = -6.0 * power / distances * each**2
        values[centre] = each.sum()
        gradients[centre, HYDROGENS] = slopes[:, None] * vectors / distances[:, None]
        gradients[centre, centre] = -gradients[centre, HYDROGENS].sum(axis=0)
    return values, gradients


class BiasedXTB(Calculator):
    """GFN1-xTB with well-tempered hills on both coordination numbers, inside a soft sphere.

    Source of the bias: A. Barducci, G. Bussi, M. Parrinello, Phys. Rev. Lett. 100 (2008) 020603.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]

    def __init__(self) -> None:
        super().__init__()
        self.xtb = XTBLabeler(XTBOptions(method="GFN1-xTB"), Settings()).calculator()
        self.hills: list[tuple[np.ndarray, float]] = []

    def bias(self, values: np.ndarray) -> tuple[float, np.ndarray]:
        """Energy of the hills (eV) and its derivatives."""
        if not self.hills:
            return 0.0, np.zeros(2)
        centres = np.array([centre for centre, _ in self.hills])
        heights = np.array([height for _, height in self.hills])
        shift = (values - centres) / HILL_WIDTH
        hills = heights * np.exp(-0.5 * (shift**2).sum(axis=1))
        return float(hills.sum()), -(hills[:, None] * shift / HILL_WIDTH).sum(axis=0)

    def deposit(self, atoms: Atoms) -> None:
        """Add a hill here, the lower the more there are."""
        values, _ = coordinations(atoms.positions)
        scale = units.kB * TEMPERATURE_K * (BIAS_FACTOR - 1.0)
        self.hills.append((values, HILL_EV * float(np.exp(-self.bias(values)[0] / scale))))

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy", "forces"),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Add up xTB, hills and sphere (ASE calls this)."""
        super().calculate(atoms, properties, system_changes)
        assert atoms is not None
        plain = Atoms(atoms.numbers, atoms.positions)
        plain.calc = self.xtb
        energy, forces = plain.get_potential_energy(), plain.get_forces().copy()
        values, gradients = coordinations(atoms.positions)
        bias, slopes = self.bias(values)
        forces -= np.tensordot(slopes, gradients, axes=1)
        outwards = atoms.positions - atoms.positions[[B, N]].mean(axis=0)
        distances = np.linalg.norm(outwards, axis=1)
        beyond = np.clip(distances - WALL_A, 0.0, None)
        forces -= 2.0 * WALL_EV_A2 * (beyond / np.maximum(distances, 1e-9))[:, None] * outwards
        self.results = {"energy": energy + bias + WALL_EV_A2 * float((beyond**2).sum()), "forces": forces}


def dynamics(start: Atoms, friction_per_fs: float, seed: int) -> Langevin:
    """Langevin dynamics of a frame under the biased driver, without a hill yet."""
    random = np.random.default_rng(seed)
    atoms = Atoms(start.numbers, start.positions)
    atoms.calc = BiasedXTB()
    widths = np.sqrt(atoms.get_masses() * units.kB * TEMPERATURE_K)
    atoms.set_momenta(random.standard_normal((len(atoms), 3)) * widths[:, None])
    return Langevin(
        atoms,
        TIMESTEP_FS * units.fs,
        temperature_K=TEMPERATURE_K,
        friction=friction_per_fs / units.fs,
        fixcm=False,
        rng=random,
    )


def trajectory(job: tuple[Atoms, int]) -> np.ndarray:
    """One metadynamics run; positions of shape (n_frames, 8, 3)."""
    start, seed = job
    run = dynamics(start, FRICTION_PER_FS, seed)
    frames = []
    for _ in range(STEPS // HILL_EVERY):
        run.atoms.calc.deposit(run.atoms)
        for _ in range(HILL_EVERY // EVERY):
            run.run(EVERY)
            frames.append(run.atoms.positions.copy())
    return np.array(frames)


def released(job: tuple[Atoms, int]) -> Atoms:
    """A frame after a moment of damped dynamics without hills, which takes their strain off."""
    frame, seed = job
    run = dynamics(frame, 2 * FRICTION_PER_FS, seed)
    run.run(RELEASE_STEPS)
    return Atoms(frame.numbers, run.atoms.positions, info=dict(frame.info))


@dataclass(frozen=True)
class Part:
    """A part of the test set: how many frames, near or far apart, rearranged or not (None: whichever)."""

    count: int
    near: bool
    rearranged: bool | None

    def has(self, positions: np.ndarray) -> np.ndarray:
        """Mask of the frames that belong to this part and in which no atoms overlap."""
        pairs = np.linalg.norm(positions[:, :, None] - positions[:, None], axis=3) + 10 * np.eye(8)
        mask = (pairs.min(axis=(1, 2)) > SHORTEST_A) & ((pairs[:, B, N] < SPLIT_A) == self.near)
        if self.rearranged is not None:
            mask &= is_rearranged(pairs) == self.rearranged
        return np.asarray(mask)


PARTS = (Part(12, True, True), Part(8, True, False), Part(20, False, None))


def is_rearranged(pairs: np.ndarray) -> np.ndarray:
    """Mask of the frames with a hydrogen on the other half, or with H2; from distances of shape (n_frames, 8, 8)."""
    onto_nitrogen = (pairs[:, N, 2:5] < 1.35).any(axis=1)
    onto_boron = ((pairs[:, B, 5:8] < 1.45) & (pairs[:, N, 5:8] > 1.3)).any(axis=1)
    hydrogen = (pairs[:, HYDROGENS, HYDROGENS] < 0.95).any(axis=(1, 2))
    return np.asarray(onto_nitrogen | onto_boron | hydrogen)


def labelled_part(part: Part, structure: Atoms, positions: np.ndarray, labeler: Any, pool: Any) -> list[Atoms]:
    """Choose, release and label the frames of one part.

    Raises
    ------
    StageFailed
        If too few frames of its kind are left.
    """
    own = positions[part.has(positions)]
    rows = farthest_points(sorted_distances(structure.numbers, own), SPARE * part.count)
    chosen = [Atoms(structure.numbers, own[row], info=dict(structure.info)) for row in rows]
    frames = list(pool.map(released, [(frame, SEED + number) for number, frame in enumerate(chosen)]))
    kept = [frame for frame in frames if part.has(frame.positions[None])[0]]
    good: list[Atoms] = []
    while len(good) < part.count and kept:
        batch, kept = kept[: part.count - len(good)], kept[part.count - len(good) :]
        for label in pool.map(labeler.label, batch):
            if label.status == "ok" and np.abs(label.forces).max() < LARGEST_FORCE:
                label.frame.calc = SinglePointCalculator(label.frame, energy=label.energy, forces=label.forces)
                good.append(label.frame)
    if len(good) < part.count:
        raise StageFailed(f"{part}: found {len(good)} good frames, expected {part.count}; run longer")
    return good


def main(output: str) -> None:
    """Make the test set and write it to `output`."""
    loaded = load_campaign(CAMPAIGN)
    assert isinstance(loaded.campaign.labeler, PySCFOptions)
    labeler = PySCFLabeler(loaded.campaign.labeler, Settings())
    structure = structure_of(loaded.campaign, loaded.files)
    starts = scan_frames(structure, STARTS) * RUNS_PER_START
    with ProcessPoolExecutor(PROCESSES) as pool:
        runs = list(pool.map(trajectory, [(start, SEED + 100 * number) for number, start in enumerate(starts)]))
        positions = np.concatenate(runs)
        frames = [frame for part in PARTS for frame in labelled_part(part, structure, positions, labeler, pool)]
    for frame in frames:
        frame.info = {}
    write(output, frames, format="extxyz")
    rms = np.sqrt(np.mean([frame.get_forces() ** 2 for frame in frames]))
    print(f"{len(frames)} frames, force RMS {rms:.2f} eV/Å: {output}")


if __name__ == "__main__":
    main(sys.argv[1])
