"""Rules by which a split is made; in YAML, `rule` names the kind."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from oncotrain.config.load import Frozen

Fraction = Annotated[float, Field(ge=0, lt=1)]


class RandomRule(Frozen):
    """Fractions of each site's patients, drawn by `seed`."""

    rule: Literal["random"] = "random"
    seed: int
    validation: Fraction
    test: Fraction

    @model_validator(mode="after")
    def _leaves_training(self) -> "RandomRule":
        if self.validation + self.test >= 1:
            raise ValueError("validation + test must be below 1, to leave patients to train on")
        return self


class DeclaredRule(Frozen):
    """Test patients as the data's authors declared them (column `part`); validation is drawn from the others."""

    rule: Literal["declared"] = "declared"
    seed: int
    validation: Fraction
    cohorts: tuple[str, ...] = ()
    """Cohorts whose declaration counts; empty: all of them."""


class KFoldRule(Frozen):
    """Fold number `fold` of `k` is the test; over the folds every patient is tested once. Validation as above."""

    rule: Literal["kfold"] = "kfold"
    seed: int
    k: Annotated[int, Field(ge=2)]
    fold: Annotated[int, Field(ge=0)]
    validation: Fraction

    @model_validator(mode="after")
    def _fold_exists(self) -> "KFoldRule":
        if self.fold >= self.k:
            raise ValueError(f"fold must be below k = {self.k}, counted from 0")
        return self


class LeaveGroupOutRule(Frozen):
    """Patients of whole groups are the test: of tissues, cohorts or sites. Validation as above."""

    rule: Literal["leave_group_out"] = "leave_group_out"
    seed: int
    column: str
    """A column of the dataset whose values are the groups, such as `clinical_tissue`, `cohort` or `site`."""
    groups: Annotated[tuple[str, ...], Field(min_length=1)]
    """A patient with a row of one of them is a test patient, with all rows."""
    validation: Fraction


SplitRule = Annotated[RandomRule | DeclaredRule | KFoldRule | LeaveGroupOutRule, Field(discriminator="rule")]
