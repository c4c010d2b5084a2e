"""``sparc-fw schema``: the campaign file as JSON Schema."""

from __future__ import annotations

from sparc_fw.cli.screen import print_json


def schema() -> None:
    """Print the JSON Schema of campaign files, for editors and scripts."""
    from sparc_fw.campaign_schema import campaign_schema

    print_json(campaign_schema() | {"$schema": "https://json-schema.org/draft/2020-12/schema"})
