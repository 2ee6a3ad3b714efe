import gzip
from pathlib import Path

import pandas as pd
import pytest

from oncotrain.errors import DataError
from oncotrain.expression.tables import read_table


def test_identifiers_stay_as_written_in_every_format(tmp_path: Path) -> None:
    text = "id,age,extra\n007,41.5,x\nNA,,y\n697,72,z\n"
    (tmp_path / "t.csv").write_text("\ufeff" + text, encoding="utf-8")
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "t.tsv").write_text(text.replace(",", "\t"))
    typed = pd.DataFrame({"id": ["007", None, "697"], "age": [41.5, None, 72.0], "extra": list("xyz")})
    typed.astype({"id": "category"}).to_parquet(tmp_path / "t.parquet")
    for file in sorted(tmp_path.iterdir()):
        table = read_table(str(file), ["id"], ["age", "absent"])
        assert table.to_dict("list") == {"id": ["007", None, "697"], "age": ["41.5", None, "72"]}


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.parquet"])
def test_what_is_no_table_is_said(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(bytes(range(200, 256)))
    with pytest.raises(DataError, match=rf"{name}: is not a table"):
        read_table(str(tmp_path / name), ["id"])
