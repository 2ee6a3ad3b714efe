"""The configuration of each arm: a study's own, without the private settings that are for other arms."""

from oncotrain.config import parse
from oncotrain.config.privacy import PrivacyConfig
from oncotrain.config.training import RunConfig
from oncotrain.errors import UserError


def arm_config(config: RunConfig, arm: str, source: str) -> RunConfig:
    """What `arm` trains: one private setting where the arm is named after it, and else what all arms have in common.

    So `federated+control` differs from `federated+dp` in clipping and noise alone. Raises UserError, naming `source`
    (the configuration's file) and the key, where an arm's setting is missing.
    """
    secure = config.federated.secure_aggregation if config.federated else None
    sites = config.federated.site_privacy if config.federated else None
    patients = config.train.privacy if isinstance(config.train.privacy, PrivacyConfig) else None
    made_of = {
        "federated+dp": ("train", "privacy", patients),
        "federated+sitedp": ("federated", "site_privacy", sites),
        "federated+secure": ("federated", "secure_aggregation", secure),
    }
    data = config.model_dump(mode="json")
    data["train"]["privacy"] = None
    if config.federated:
        data["federated"] |= {"site_privacy": None, "secure_aggregation": None}
    if arm == "federated+control":
        data["train"]["privacy"] = {"control": True}
    elif arm in made_of:
        section, key, setting = made_of[arm]
        if setting is None:
            raise UserError(f"{source}: key '{section}.{key}' is missing; the study's arm {arm} is made of it")
        data[section][key] = setting.model_dump(mode="json")
    return parse(RunConfig, data, source)
