import subprocess
import sys
from pathlib import Path

import oncotrain
from oncotrain.cluster.code import write_code
from oncotrain.federation.package import unpacked_code

SHOW = """
import oncotrain
from pathlib import Path
from oncotrain.federation.package import unpacked_code
(folder,) = unpacked_code()
print(oncotrain.__file__, folder, Path(folder, "oncotrain", "federation", "server_app.py").stat().st_size, sep="\\n")
"""


def test_installed_code_needs_nothing():
    assert unpacked_code() == []


def test_code_in_a_zip_is_unpacked_and_goes_with_the_process(tmp_path):
    code = write_code(tmp_path / "oncotrain.zip")
    shown = subprocess.run(
        [sys.executable, "-c", SHOW], env={"PYTHONPATH": str(code)}, capture_output=True, text=True, check=True
    )
    file, folder, size = shown.stdout.split()
    assert Path(file).is_relative_to(code), "this is what was to be tested"
    assert int(size) == Path(oncotrain.__file__).with_name("federation").joinpath("server_app.py").stat().st_size
    assert not Path(folder).exists()
