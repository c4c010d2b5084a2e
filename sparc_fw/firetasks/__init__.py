"""Firetasks: load by id, call a backend, save, return ids."""

from sparc_fw.firetasks.check import CheckTask
from sparc_fw.firetasks.explore import ExploreTask
from sparc_fw.firetasks.label import LabelTask
from sparc_fw.firetasks.select import SelectTask
from sparc_fw.firetasks.start import StartTask
from sparc_fw.firetasks.train import TrainTask
from sparc_fw.firetasks.validate import PublishTask, ValidateTask

__all__ = [
    "CheckTask",
    "ExploreTask",
    "LabelTask",
    "PublishTask",
    "SelectTask",
    "StartTask",
    "TrainTask",
    "ValidateTask",
]
