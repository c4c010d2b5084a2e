"""The texts, hashes and structures of the files that the options of backends name."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, cast

from sparc_fw.backend import Options
from sparc_fw.campaign import Campaign
from sparc_fw.errors import InputError, named
from sparc_fw.geometry.files import read_structure
from sparc_fw.selectors.base import StepOptions


def with_texts(campaign: Campaign, folder: Path) -> Campaign:
    """The campaign with the text files that its backends name read in, so that workers need no shared file system."""
    sections: dict[str, Any] = {
        section: _filled(getattr(campaign, section), section, folder) for section in ("labeler", "potential")
    }
    sections["select"] = filled_steps(campaign, folder)
    sections["explorer"] = [_filled(options, key, folder) for key, options in campaign.explorers().items()]
    return campaign.model_copy(update=sections)


def filled_steps(campaign: Campaign, folder: Path) -> list[StepOptions]:
    """The steps of a campaign, as `with_texts` gives them."""
    return [cast("StepOptions", _filled(options, key, folder)) for key, options in campaign.steps().items()]


def _filled(options: Options, section: str, folder: Path) -> Options:
    """The options with the texts and the hashes of the files that they name."""
    for file_key, text_key in type(options).text_files.items():
        name = getattr(options, file_key)
        if name is None:
            continue
        where = f"{section}.{file_key}"
        if getattr(options, text_key):
            raise InputError(f"{where}: found it beside {section}.{text_key}, expected one of them")
        try:
            text = (folder / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{where}: {folder / name} cannot be read: {error}") from error
        options = options.model_copy(update={text_key: text, file_key: None})
    for file_key, hash_key in type(options).hashed_files.items():
        name = getattr(options, file_key)
        if name is None:
            continue
        path = (folder / name).absolute()
        try:
            found = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise InputError(f"{section}.{file_key}: {path} cannot be read: {error.strerror}") from error
        known = getattr(options, hash_key)
        if known not in (None, found):
            raise InputError(f"{section}.{hash_key}: found {known}, expected {found}, which {path} has")
        options = options.model_copy(update={hash_key: found, file_key: str(path)})
    for key in type(options).structure_keys:
        name = getattr(options, key)
        if isinstance(name, str):
            with named(f"{section}.{key}"):
                options = options.model_copy(update={key: read_structure(name, folder)})
    return options
