from pathlib import Path

import pytest

from support.tables import Tables


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    """Tables without a fault."""
    return Tables(tmp_path)
