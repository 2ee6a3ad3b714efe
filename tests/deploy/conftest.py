"""The wheel tool is a folder of scripts, not a package: put it on the path of the tests below."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "deploy" / "wheels"))
