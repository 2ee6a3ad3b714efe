"""The wheel tool and the sizing script belong to no package: put their folders on the path of the tests below."""

import sys
from pathlib import Path

DEPLOY = Path(__file__).parents[2] / "deploy"
sys.path[:0] = [str(DEPLOY / "wheels"), str(DEPLOY)]
