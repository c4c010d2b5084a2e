"""Where frames come from before there is a potential: the options that a campaign file can state."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sparc_fw.explorers.bias import Bias
from sparc_fw.geometry.confinement import AtomIndex, Confinement
from sparc_fw.geometry.normal_modes import ModeSampling
from sparc_fw.labelers.base import LabelerOptions
from sparc_fw.registry import ByKind
from sparc_fw.section import Section


class Source(Section):
    """Common to all sources."""

    kind: str
    system: str | None = None
    """Name of the system that the frames belong to; the first one where unset."""


class FileSource(Source):
    """Unlabelled frames from a file that ASE reads."""

    kind: Literal["file"]
    path: str
    """File, relative to the campaign file."""
    index: str = ":"
    """Which frames, as ASE writes it: ':' for all, '::10' for every tenth."""


class LabelledSource(Source):
    """Frames with energy and forces that were computed with the campaign's labeler settings already."""

    kind: Literal["labelled"]
    path: str
    """File or folder with energies and forces, relative to the campaign file: extended XYZ, ASE, VASP, CP2K, Quantum
    ESPRESSO, DeePMD or ANI's HDF5."""
    index: str = ":"
    """Which frames, as ASE writes it."""
    trust_settings: bool = False
    """Whether the numbers count as the labeler's where the file does not prove how they were computed, as only exports
    of sparc_fw do."""


class ScanSource(Source):
    """A rigid scan of a distance, angle or dihedral of the system's structure."""

    kind: Literal["scan"]
    atoms: list[AtomIndex] = Field(min_length=2, max_length=4)
    """Two atoms for a distance, three for an angle, four for a dihedral; counted from 0."""
    first: float
    """First value, Å or degrees."""
    last: float
    """Last value, Å or degrees."""
    points: int = Field(ge=1)
    """Number of frames, evenly spaced, both ends included."""
    moving: list[AtomIndex] | None = None
    """Atoms that move; where unset, those on the last atom's side of the bond before it."""


class DisplacementSource(Source):
    """The system's structure, or the frames of a scan, with every coordinate displaced at random."""

    kind: Literal["displacements"]
    amplitude_A: float = Field(0.05, gt=0)
    """Largest displacement along each axis where they are uniform, their standard deviation where normal, Å."""
    distribution: Literal["uniform", "normal"] = "uniform"
    """How displacements along each axis and of each atom are distributed, every one on its own."""
    around: ScanSource | None = None
    """Scan whose frames are displaced in turn, first to last and over again; where unset, the structure is."""
    frames: int = Field(ge=1)
    """Number of frames."""


class RattleSource(Source):
    """The system's structure rattled at a distance that atoms keep, in a cell that may be strained at random."""

    kind: Literal["rattle"]
    stdev_A: float = Field(0.1, gt=0)
    """Standard deviation of the displacements along each axis, Å."""
    min_fraction: float = Field(0.7, ge=0)
    """A displacement is drawn again that brings an atom nearer to another one than this fraction of the sum of their
    covalent radii, unless they are so near already."""
    strain: float = Field(0.0, ge=0, lt=0.5)
    """Components of the cell's random strain are uniform between plus and minus this; 0 for none."""
    frames: int = Field(ge=1)
    """Number of frames."""


class DissociationSource(Source):
    """Bonds of the system's structure broken one by one: what hangs on the second atom is pulled off rigidly."""

    kind: Literal["dissociation"]
    bonds: list[tuple[AtomIndex, AtomIndex]] = Field(min_length=1)
    """Pairs of atoms; counted from 0."""
    last_A: float = Field(4.0, gt=0)
    """Last distance of each pair, Å; the first is that of the structure."""
    points: int = Field(10, ge=2)
    """Number of frames for each bond, evenly spaced, both ends included."""


class ApproachSource(Source):
    """Two rigid fragments of the system's structure at a range of distances, turned at random."""

    kind: Literal["approach"]
    fragment: list[AtomIndex] = Field(min_length=1)
    """Atoms that move; the others stay."""
    first_A: float = Field(4.0, gt=0)
    """First distance of the two nearest atoms of both fragments, Å."""
    last_A: float = Field(1.5, gt=0)
    """Last distance of the two nearest atoms of both fragments, Å."""
    points: int = Field(10, ge=1)
    """Number of frames for each orientation, evenly spaced, both ends included."""
    orientations: int = Field(1, ge=1)
    """How the fragment is turned and from which side it comes: as it is in the structure, and then at random."""


class NormalModeSource(Source, ModeSampling):
    """The system's structure displaced along its normal modes, by the forces of a driver."""

    kind: Literal["normal_modes"]
    driver: Annotated[LabelerOptions, ByKind("labeler")] | None = None
    """Whose forces: any labeler that offers a calculator, such as xtb; where unset, the campaign's labeler."""
    relax: bool = True
    """Whether the driver relaxes the structure first; false to displace it as it is."""
    fmax_eV_A: float = Field(0.01, gt=0)
    """It is relaxed where no atom feels a longer force, eV/Å."""
    max_steps: int = Field(500, ge=1)
    """Most steps of the relaxation."""


class Quench(Section):
    """Heat and cool in turn: hot phases react at the source's temperature, cold ones relax what came of it."""

    hot_fs: float = Field(300.0, gt=0)
    """Length of a hot phase, with which a run begins, fs."""
    cold_fs: float = Field(125.0, gt=0)
    """Length of a cold phase, fs."""
    cold_K: float = Field(500.0, gt=0)
    """Temperature of the cold phases, K."""
    wider_A: float = Field(0.0, ge=0)
    """The confining sphere is wider by this in cold phases, Å."""


class RandomStarts(Section):
    """Structures with the system's atoms at random places, to begin dynamics from."""

    kind: Literal["random"]
    count: int = Field(ge=1)
    """Number of structures."""
    radius_A: float = Field(2.5, gt=0)
    """Molecules are placed in a sphere of this radius, Å; periodic systems in their cell."""
    min_fraction: float = Field(0.8, gt=0)
    """Least distance between two atoms, in sums of their covalent radii."""


class DynamicsSource(Source):
    """Frames of Langevin dynamics, with a cheap driver or with the labeler itself, the most different ones kept."""

    kind: Literal["dynamics"]
    driver: Annotated[LabelerOptions, ByKind("labeler")] | None = None
    """What drives the dynamics: any labeler that offers a calculator, such as xtb. Where unset, the campaign's labeler,
    whichever it is: every step is a label, which is kept, paid once and part of the label budget (steps + 1 of a run),
    and the frames have their labels already."""
    starts: Annotated[ScanSource | RandomStarts, Field(discriminator="kind")] | None = None
    """One run from each frame of this scan, or from structures made at random; where unset, one from the structure."""
    temperature_K: list[Annotated[float, Field(gt=0)]] = Field([700.0], min_length=1)
    """Temperatures; every start is run at each of them, K."""
    duration_ps: float = Field(1.0, gt=0)
    """Length of each run, ps."""
    timestep_fs: float = Field(0.5, gt=0)
    """MD time step, fs."""
    friction_per_ps: float = Field(10.0, gt=0)
    """Langevin friction, 1/ps."""
    sample_every_fs: float = Field(5.0, gt=0)
    """Time between the frames to choose from, fs."""
    frames: int | None = Field(None, ge=1)
    """Number of frames kept, over all runs; where unset, all that there are to choose from."""
    energy_window_eV: float | None = Field(None, gt=0)
    """Frames whose driver energy is more than this above the lowest one are left out, eV; where unset, none."""
    choose: Literal["even", "diverse"] = "diverse"
    """Evenly in time, or farthest points in sorted interatomic distances."""
    within_A: float | None = Field(None, gt=0)
    """Frames with an atom farther than this from its nearest neighbour are left out, Å; where unset, none."""
    confine: Confinement | None = None
    """A sphere that holds all atoms together; where unset, none."""
    bias: list[Bias] = []
    """What drives collective variables besides (needs PLUMED's kernel); labels are those of the labeler alone."""
    quench: Quench | None = None
    """Hot and cold phases in turn; where unset, one temperature throughout."""
    max_force: float | None = Field(None, gt=0)
    """Frames with a larger force component by the driver are left out, eV/Å; where unset, none."""

    @property
    def steps_per_sample(self) -> int:
        """Steps between the frames to choose from."""
        return max(1, round(self.sample_every_fs / self.timestep_fs))

    @property
    def samples(self) -> int:
        """Frames that a run offers to choose from; the start is none of them."""
        return max(1, round(self.duration_ps * 1000 / self.sample_every_fs))

    @property
    def runs(self) -> int:
        """Runs, from every start at every temperature."""
        starts = 1
        if self.starts is not None:
            starts = self.starts.points if isinstance(self.starts, ScanSource) else self.starts.count
        return starts * len(self.temperature_K)

    @property
    def calculations_per_run(self) -> int:
        """Energies and forces that a run takes: steps + 1."""
        return self.samples * self.steps_per_sample + 1

    @property
    def calculations(self) -> int:
        """Energies and forces that all runs take."""
        return self.runs * self.calculations_per_run


FrameSource = Annotated[
    FileSource
    | LabelledSource
    | ScanSource
    | DisplacementSource
    | RattleSource
    | DissociationSource
    | ApproachSource
    | NormalModeSource
    | DynamicsSource,
    Field(discriminator="kind"),
]


class TestSet(Section):
    """What every model is measured on; never trained on, not counted in the label budget."""

    __test__ = False  # no pytest class

    frames: list[FrameSource] = []
    """Frames of the test set; those without labels are labelled once at the start."""
    scan: ScanSource | None = None
    """A scan whose energies along the coordinate are compared with the labeler's."""

    @model_validator(mode="after")
    def _not_empty(self) -> TestSet:
        if not self.frames and self.scan is None:
            raise ValueError("expected 'frames', 'scan' or both")
        return self
