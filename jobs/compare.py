"""spark-submit jobs/compare.py --study YAML: run a study's arms that are missing, then write its report."""

from pathlib import Path
from typing import Annotated

import typer

from oncotrain.config import load_yaml
from oncotrain.config.study import StudyConfig
from oncotrain.job import run_job
from oncotrain.spark import spark_session
from oncotrain.study.compare import compare


def main(
    study: Annotated[Path, typer.Option(help="the study's YAML, such as jobs/studies/demo.yaml")],
    work: Annotated[Path, typer.Option(help="private folder for keys and logs of the federations")] = Path(
        "federation"
    ),
) -> None:
    """Compare centralized, local and federated training; the last line names the report."""
    client = Path(__file__).with_name("federated_client.py")
    run_job(
        "compare",
        lambda: compare(
            spark_session("compare"), load_yaml(study, StudyConfig), study, work=work.resolve(), client=client
        ),
    )


if __name__ == "__main__":
    typer.run(main)
