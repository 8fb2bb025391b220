"""A model file of the oldest versions scores under these as it did under those."""

from __future__ import annotations

from pathlib import Path

from skhuihen import load_model, read_manifest

#: Written under the pins of constraints-minimum.txt.
OLDEST = Path(__file__).parent / "data" / "format_1_oldest.model"


def test_a_file_of_the_oldest_versions_loads() -> None:
    assert read_manifest(OLDEST)["versions"]["pandas"] == "2.2.3"
    load_model(OLDEST)  # compares the scores to 1e-6 by itself
