"""Nearest neighbours among patches of images."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["nearest_patches"]

Patches = npt.NDArray[np.float64]


def nearest_patches(wanted: Patches, database: Patches, components: int, excess: float = 0.0) -> npt.NDArray[np.intp]:
    """The index of a near patch of a database for each wanted patch.

    A k-d tree searches in the axes of the database's principal components. With all of them and no excess the neighbour
    is the nearest. Both fewer components and an excess are quicker.

    Args:
        wanted: one patch of P pixels in each row, (n, P).
        database: (m, P), m >= 1.
        components: number of principal components, at most P.
        excess: the distance in these components is at most 1 + excess times that of the nearest patch.

    Returns:
        (n,), each from 0 to m - 1.
    """
    from scipy.spatial import cKDTree

    mean = database.mean(0)
    centred = database - mean
    _, axes = np.linalg.eigh(centred.T @ centred)  # in ascending order of their variance
    leading = axes[:, ::-1][:, :components]
    found = cKDTree(centred @ leading).query((wanted - mean) @ leading, eps=excess)[1]
    return np.asarray(found, dtype=np.intp)
