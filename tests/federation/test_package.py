import subprocess
import sys
from pathlib import Path

import oncotrain
from oncotrain.cluster.code import write_code
from oncotrain.federation.package import package_path

SHOW = """
import oncotrain
from pathlib import Path
from oncotrain.federation.package import package_path
print(oncotrain.__file__, package_path(), sep="\\n")
print(Path(package_path(), "oncotrain", "federation", "server_app.py").stat().st_size)
"""


def test_installed_code_is_where_it_is():
    assert Path(package_path(), "oncotrain") == Path(oncotrain.__file__).parent


def test_code_in_a_zip_is_unpacked_and_goes_with_the_process(tmp_path):
    code = write_code(tmp_path / "oncotrain.zip")
    shown = subprocess.run(
        [sys.executable, "-c", SHOW], env={"PYTHONPATH": str(code)}, capture_output=True, text=True, check=True
    )
    file, folder, size = shown.stdout.split()
    assert Path(file).is_relative_to(code), "this is what was to be tested"
    assert int(size) == Path(package_path(), "oncotrain", "federation", "server_app.py").stat().st_size
    assert Path(folder).parent != tmp_path
    assert not Path(folder).exists()
