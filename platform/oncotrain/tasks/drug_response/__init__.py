"""Drug response: the response of samples to drugs, from gene expression and clinical columns."""

from oncotrain.tasks.drug_response.task import create

__all__ = ["create"]
