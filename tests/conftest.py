"""Shared by several test files: where the real data lies, and a small table to decide from."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"

settings.register_profile("laws", deadline=None)  # a law holds on a slow machine too
settings.load_profile("laws")


@pytest.fixture(scope="session")
def shared() -> Path:
    if not (SHARED / "data").is_dir():
        pytest.skip("needs ../shared, which a clean clone does not have")
    return SHARED
