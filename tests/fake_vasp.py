"""A program that takes VASP's input and leaves VASP's output, by the standard library alone: it starts fast.

``fake_vasp.py`` computes a Morse potential between all atoms and their nearest images. Further arguments:
``--replay FOLDER`` refuses any input but that of the folder, and lays down its output; ``--needs TAG=VALUE`` does not
converge without that tag; ``--prints TEXT`` ends with this on its output unless ``--until TAG=VALUE`` holds;
``--cut`` leaves a vasprun.xml that is not whole; ``--hang`` never ends.
"""

from __future__ import annotations

import argparse
import itertools
import math
import re
import shutil
import sys
import time
from pathlib import Path

DEPTH, EXPONENT, MINIMUM = 2.0, 2.5, 1.1
ELECTRON = 13.0
"""eV that it costs to take away one electron."""
KILOBAR = 6.241509074e-4
"""eV/Å^3."""
Vector = list[float]
ZERO = [0.0, 0.0, 0.0]


def read_incar(path: Path) -> dict[str, str]:
    lines = [re.split(r"[#!]", line)[0] for line in path.read_text().splitlines()]
    return {line.split("=")[0].strip().upper(): line.split("=")[1].strip() for line in lines if "=" in line}


def read_poscar(path: Path) -> tuple[list[Vector], list[str], list[int], list[Vector]]:
    lines = path.read_text().splitlines()
    assert float(lines[1]) == 1.0
    cell = [[float(x) for x in line.split()[:3]] for line in lines[2:5]]
    symbols, counts = lines[5].split(), [int(x) for x in lines[6].split()]
    rows = [[float(x) for x in line.split()[:3]] for line in lines[8 : 8 + sum(counts)]]
    if lines[7].lower().startswith("c"):
        return cell, symbols, counts, rows
    return cell, symbols, counts, [[sum(f * cell[i][k] for i, f in enumerate(row)) for k in range(3)] for row in rows]


def volume_of(cell: list[Vector]) -> float:
    (a, b, c), (d, e, f), (g, h, i) = cell
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)


def fractional(cell: list[Vector], position: Vector) -> Vector:
    swapped = [[position if k == i else cell[k] for k in range(3)] for i in range(3)]
    return [volume_of(rows) / volume_of(cell) for rows in swapped]


def morse(cell: list[Vector], positions: list[Vector]) -> tuple[float, list[Vector], list[Vector]]:
    """Energy, forces and virial of every pair, images of the neighbouring cells included."""
    energy, forces, virial = 0.0, [ZERO[:] for _ in positions], [ZERO[:] for _ in range(3)]
    for shift in itertools.product((-1, 0, 1), repeat=3):
        offset = [sum(n * cell[i][k] for i, n in enumerate(shift)) for k in range(3)]
        for i, first in enumerate(positions):
            for j, second in enumerate(positions):
                if i == j and shift == (0, 0, 0):
                    continue
                away = [second[k] + offset[k] - first[k] for k in range(3)]
                distance = math.sqrt(sum(x * x for x in away))
                decay = math.exp(-EXPONENT * (distance - MINIMUM))
                energy += 0.5 * DEPTH * (decay**2 - 2 * decay)
                slope = -2 * DEPTH * EXPONENT * (decay**2 - decay)
                for k in range(3):
                    forces[i][k] += slope * away[k] / distance
                    for m in range(3):
                        virial[k][m] += 0.5 * slope * away[k] * away[m] / distance
    return energy, forces, virial


def rows(values: list[Vector], indent: int = 4) -> str:
    return "\n".join(" " * indent + "<v>" + "".join(f"{x:16.8f}" for x in row) + "</v>" for row in values)


def structure(name: str, cell: list[Vector], positions: list[Vector]) -> str:
    attribute = f' name="{name}"' if name else ""
    return f"""<structure{attribute}>
  <crystal>
   <varray name="basis">
{rows(cell)}
   </varray>
   <i name="volume">{volume_of(cell):16.8f}</i>
   <varray name="rec_basis">
{rows(cell)}
   </varray>
  </crystal>
  <varray name="positions">
{rows([fractional(cell, position) for position in positions])}
  </varray>
 </structure>"""


def energies(energy: float) -> str:
    return "".join(f'<i name="{name}">{energy:16.8f}</i>' for name in ("e_fr_energy", "e_wo_entrp", "e_0_energy"))


def xml_tags(incar: dict[str, str]) -> str:
    found = []
    for tag, value in incar.items():
        word = value.strip(".").upper()
        if word in ("T", "F", "TRUE", "FALSE"):
            found.append(f'<i type="logical" name="{tag}">{word[0]}</i>')
        elif re.fullmatch(r"-?\d+", value):
            found.append(f'<i type="int" name="{tag}">{value}</i>')
        elif re.fullmatch(r"[-+.\deE]+", value):
            found.append(f'<i name="{tag}">{float(value):.8f}</i>')
        elif tag not in ("MAGMOM",):
            found.append(f'<i type="string" name="{tag}">{value}</i>')
    return "\n  ".join(found)


class Calculation:
    """The input of the working directory and what the Morse potential says of it."""

    def __init__(self) -> None:
        self.incar = read_incar(Path("INCAR"))
        self.cell, self.symbols, self.counts, self.positions = read_poscar(Path("POSCAR"))
        potcar = Path("POTCAR").read_text()
        self.titles = [line.split("=")[1].strip() for line in potcar.splitlines() if "TITEL" in line]
        assert [title.split()[1].split("_")[0] for title in self.titles] == self.symbols, "POTCAR and POSCAR disagree"
        valences = [float(x) for x in re.findall(r"ZVAL\s*=\s*([0-9.]+)", potcar)]
        self.valences = valences
        neutral = sum(count * valence for count, valence in zip(self.counts, valences, strict=True))
        self.energy, self.forces, self.virial = morse(self.cell, self.positions)
        self.electrons = float(self.incar.get("NELECT", neutral))
        self.energy += ELECTRON * (neutral - self.electrons)
        self.steps = 6
        self.nelm = int(self.incar.get("NELM", 60))

    def converges(self, needs: str | None) -> bool:
        return needs is None or self.incar.get(needs.split("=")[0], "").upper() == needs.split("=")[1].upper()

    def write(self, converged: bool) -> None:
        steps = self.steps if converged else self.nelm
        Path("vasprun.xml").write_text(self.vasprun(steps))
        Path("OUTCAR").write_text(self.outcar(converged))
        Path("OSZICAR").write_text(f"DAV: {steps}\n   1 F= {self.energy:.8E} E0= {self.energy:.8E}  d E =0\n")

    def vasprun(self, steps: int) -> str:
        atoms, types = "", ""
        for number, (symbol, count) in enumerate(zip(self.symbols, self.counts, strict=True), start=1):
            atoms += f"<rc><c>{symbol:2}</c><c>{number}</c></rc>" * count
            title, valence = self.titles[number - 1], self.valences[number - 1]
            types += f"<rc><c>{count}</c><c>{symbol:2}</c><c>1.0</c><c>{valence}</c><c>{title}</c></rc>"
        steps_xml = "\n".join(
            f" <scstep><energy>{energies(self.energy + 10.0 ** (1 - n))}</energy></scstep>" for n in range(steps)
        )
        kilobars = [[-x / volume_of(self.cell) / KILOBAR for x in row] for row in self.virial]
        return f"""<?xml version="1.0" encoding="ISO-8859-1"?>
<modeling>
 <generator><i name="program" type="string">vasp </i><i name="version" type="string">0.0.1  </i></generator>
 <incar>
  {xml_tags(self.incar)}
 </incar>
 <kpoints>
  <generation param="Gamma"><v type="int" name="divisions">1 1 1</v><v name="usershift">0.0 0.0 0.0</v></generation>
  <varray name="kpointlist"><v>0.0 0.0 0.0</v></varray>
  <varray name="weights"><v>1.0</v></varray>
 </kpoints>
 <parameters>
  <i type="int" name="NELM">{self.nelm}</i><i type="int" name="NSW">0</i><i type="int" name="IBRION">-1</i>
  <i type="int" name="ISPIN">{self.incar.get("ISPIN", "1")}</i><i name="NELECT">{self.electrons:.8f}</i>
 </parameters>
 <atominfo>
  <atoms>{sum(self.counts)}</atoms>
  <array name="atoms"><set>{atoms}</set></array>
  <array name="atomtypes"><set>{types}</set></array>
 </atominfo>
 {structure("initialpos", self.cell, self.positions)}
 <calculation>
{steps_xml}
 {structure("", self.cell, self.positions)}
  <varray name="forces">
{rows(self.forces)}
  </varray>
  <varray name="stress">
{rows(kilobars)}
  </varray>
  <energy>{energies(self.energy)}</energy>
 </calculation>
 {structure("finalpos", self.cell, self.positions)}
</modeling>
"""

    def outcar(self, converged: bool) -> str:
        potcars = "\n".join(f" POTCAR:   {title}" for title in self.titles * 2)
        lattice = "\n".join(f"  {a:13.9f}{b:13.9f}{c:13.9f}     0.0 0.0 0.0" for a, b, c in self.cell)
        both = zip(self.positions, self.forces, strict=True)
        atoms = "\n".join("".join(f"{x:13.5f}" for x in p) + "".join(f"{x:14.6f}" for x in f) for p, f in both)
        (xx, xy, xz), (_, yy, yz), (_, _, zz) = self.virial
        stress = "".join(f"{-x / volume_of(self.cell) / KILOBAR:12.5f}" for x in (xx, yy, zz, xy, yz, xz))
        ended = "because EDIFF is reached" if converged else "EDIFF was not reached (unconverged)"
        return f""" vasp.0.0.1 made by the tests of sparc_fw
{potcars}
   k-points           NKPTS =      1   k-points in BZ     NKDIM =      1   number of bands    NBANDS=      8
   ions per type =  {" ".join(map(str, self.counts))}
   ISPIN  =      {self.incar.get("ISPIN", "1")}    spin polarized calculation?
 k-points in reciprocal lattice and weights: Gamma
   0.00000000  0.00000000  0.00000000       1.000
--------------------------------------- Iteration      1(   1)  ---------------------------------------
------------------------ aborting loop {ended} ----------------------------------------
  in kB {stress}
      direct lattice vectors                 reciprocal lattice vectors
{lattice}

 POSITION                                       TOTAL-FORCE (eV/Angst)
 -----------------------------------------------------------------------------------
{atoms}
 -----------------------------------------------------------------------------------
  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)
  ---------------------------------------------------
  free  energy   TOTEN  =  {self.energy:18.8f} eV

  energy  without entropy=  {self.energy:15.8f}  energy(sigma->0) =  {self.energy:15.8f}
"""


def same(found: str | None, wanted: str | None) -> bool:
    """Whether two values of a tag, or two words of a file, mean the same."""
    if found is None or wanted is None:
        return found == wanted
    pair = [word.strip(".").upper() for word in (found, wanted)]
    if all(word in ("T", "F", "TRUE", "FALSE") for word in pair):
        return pair[0][0] == pair[1][0]
    if all(re.fullmatch(r"[-+.\dE]+", word) for word in pair):
        return float(pair[0]) == float(pair[1])
    return pair[0] == pair[1]


def replay(folder: Path) -> None:
    """Compare the input with the folder's and lay down its output."""
    wanted, found = read_incar(folder / "INCAR"), read_incar(Path("INCAR"))
    for tag in sorted({*wanted, *found}):
        if not same(found.get(tag), wanted.get(tag)):
            sys.exit(f"INCAR: {tag}: found {found.get(tag)}, expected {wanted.get(tag)}")
    # The first line is a comment, and the last, the shift, may be left out.
    texts = [path.read_text().split("\n", 1)[1] for path in (Path("KPOINTS"), folder / "KPOINTS")]
    points = [[*text.split(), "0", "0", "0"][:8] for text in texts]
    if not all(map(same, *points)):
        sys.exit(f"KPOINTS: found {points[0]}, expected {points[1]}")
    ours, theirs = read_poscar(Path("POSCAR")), read_poscar(folder / "POSCAR")
    if ours[1:3] != theirs[1:3]:
        sys.exit(f"POSCAR: found {ours[1:3]}, expected {theirs[1:3]}")
    for mine, other in zip(ours[0] + ours[3], theirs[0] + theirs[3], strict=True):
        if max(abs(a - b) for a, b in zip(mine, other, strict=True)) > 1e-6:
            sys.exit(f"POSCAR: found {mine}, expected {other}")
    for name in ("vasprun.xml", "OUTCAR", "OSZICAR"):
        if (folder / name).is_file():
            shutil.copyfile(folder / name, name)


def main() -> None:
    parser = argparse.ArgumentParser()
    for option in ("--replay", "--needs", "--prints", "--until"):
        parser.add_argument(option)
    parser.add_argument("--cut", action="store_true")
    parser.add_argument("--hang", action="store_true")
    options = parser.parse_args()
    print(" running on    1 total cores")
    while options.hang:
        time.sleep(1)
    if options.replay is not None:
        replay(Path(options.replay))
        return
    calculation = Calculation()
    if options.prints and not (options.until and calculation.converges(options.until)):
        sys.exit(options.prints)
    calculation.write(calculation.converges(options.needs))
    if options.cut:
        text = Path("vasprun.xml").read_text()
        Path("vasprun.xml").write_text(text[: len(text) // 3])


if __name__ == "__main__":
    main()
