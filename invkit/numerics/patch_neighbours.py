"""Nearest neighbours among the patches of an image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["nearest_patches", "patches_of", "weighted_overlap"]

Plane = npt.NDArray[np.float64]
Patches = npt.NDArray[np.float64]


def patches_of(plane: Plane, side: int) -> Patches:
    """All patches of a plane (H, W) that lie in it: ((H - side + 1) * (W - side + 1), side^2), row after row.

    Example:
        >>> patches_of(np.arange(6.0).reshape(2, 3), 2)
        array([[0., 1., 3., 4.],
               [1., 2., 4., 5.]])
    """
    windows = np.lib.stride_tricks.sliding_window_view(plane, (side, side))
    return windows.reshape(-1, side**2).astype(np.float64)


def nearest_patches(wanted: Patches, database: Patches, components: int, excess: float = 0.0) -> npt.NDArray[np.intp]:
    """The index of a near patch of a database for each wanted patch.

    A k-d tree searches in the axes of the database's principal components. With all of them and no excess the neighbour
    is the nearest. Both fewer components and an excess are quicker.

    Args:
        wanted: (n, P).
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


def weighted_overlap(patches: Patches, weights: Plane, size: tuple[int, int], side: int) -> Plane:
    """The plane of which overlapping patches want each pixel to be something: their weighted mean.

    Args:
        patches: one for each place in the plane, as `patches_of` orders them, (n, side^2).
        weights: of the patches, (n,), > 0.
        size: (H, W) of the plane.
        side: of the patches, pixels.

    Example:
        >>> plane = np.arange(12.0).reshape(3, 4)
        >>> bool(np.allclose(weighted_overlap(patches_of(plane, 2), np.ones(6), (3, 4), 2), plane))
        True
    """
    rows, columns = size[0] - side + 1, size[1] - side + 1
    total, count = np.zeros(size), np.zeros(size)
    weight = weights.reshape(rows, columns)
    for index in range(side**2):
        row, column = divmod(index, side)
        window = (slice(row, row + rows), slice(column, column + columns))
        total[window] += weight * patches[:, index].reshape(rows, columns)
        count[window] += weight
    mean: Plane = total / count
    return mean
