"""The chemical structure of a drug as terms that structures share."""

RADIUS, BITS = 2, 1024


def fingerprint(smiles: str) -> tuple[str, ...]:
    """`bit N` for each bit of the Morgan fingerprint, ascending: one a neighbourhood of an atom, hashed.

    Rogers and Hahn 2010, J. Chem. Inf. Model. 50:742, ECFP4: neighbourhoods of up to two bonds.

    Raises ValueError for what is no SMILES.
    """
    from rdkit import Chem, rdBase  # 33 MB that only those need who name structures
    from rdkit.Chem import rdFingerprintGenerator

    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
    if molecule is None or not molecule.GetNumAtoms():
        raise ValueError(f"{smiles!r} is no SMILES")
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=BITS)
    return tuple(f"bit {bit}" for bit in generator.GetFingerprint(molecule).GetOnBits())
