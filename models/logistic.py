"""Multinomial logistic regression with an L2 penalty on sparse features: one convex problem, one minimum, no seed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import logsumexp

from .errors import ModelError

Matrix = NDArray[np.float64]

# Largest component of the gradient of the mean loss at which a fit counts as done, and the steps it may take.
_GRADIENT = 1e-6
_STEPS = 2000


def cross_entropies(logits: Matrix, labels: NDArray[np.int64]) -> Matrix:
    """Loss in nats ``[n]`` of logits ``[n, classes]``."""
    return np.asarray(logsumexp(logits, axis=1) - logits[np.arange(len(labels)), labels])


def objective(
    weight: Matrix, bias: Matrix, features: sparse.csr_array, labels: NDArray[np.int64], penalty: float
) -> tuple[float, Matrix, Matrix]:
    """Mean cross entropy plus ``penalty / (2 n) |weight|^2``, and its gradients; the bias is not penalised.

    weight ``[terms, classes]``, bias ``[classes]``, features ``[n, terms]``. `penalty` is 1 / C of LIBLINEAR and scikit-learn.
    """
    n = len(labels)
    logits = np.asarray(features @ weight) + bias
    wrong = np.exp(logits - logsumexp(logits, axis=1, keepdims=True))
    wrong[np.arange(n), labels] -= 1.0
    value = float(cross_entropies(logits, labels).mean() + 0.5 * penalty / n * np.vdot(weight, weight))
    return value, np.asarray(features.T @ wrong) / n + penalty / n * weight, wrong.mean(axis=0)


def fit_logistic(
    features: sparse.csr_array,
    labels: NDArray[np.int64],
    classes: int,
    penalty: float,
    start: tuple[Matrix, Matrix] | None = None,
) -> tuple[Matrix, Matrix]:
    """The minimum of `objective` by L-BFGS, as weight ``[terms, classes]`` and bias ``[classes]``.

    start : where to begin, such as the fit of a neighbouring penalty. The minimum does not depend on it: only a constant
    added to every bias is free, and the biases are brought to mean 0.
    Raises ModelError for a penalty that is not above 0, and if the minimum is not reached.
    """
    if isinstance(penalty, bool) or not isinstance(penalty, (int, float)) or not 0 < penalty < np.inf:
        raise ModelError(f"penalty is {penalty!r}; expected a finite number above 0")
    shape = (features.shape[1], classes)
    cut = shape[0] * classes

    def packed(flat: Matrix) -> tuple[float, Matrix]:
        value, weight, bias = objective(flat[:cut].reshape(shape), flat[cut:], features, labels, penalty)
        return value, np.concatenate([weight.ravel(), bias])

    weight, bias = start if start is not None else (np.zeros(shape), np.zeros(classes))
    begun = np.concatenate([weight.ravel(), bias])
    # The value of the loss may stand still to rounding before the gradient is small; the gradient alone decides.
    options: dict[str, Any] = {"gtol": _GRADIENT, "ftol": 0.0, "maxiter": _STEPS, "maxfun": 2 * _STEPS, "maxcor": 20}
    found = minimize(packed, begun, jac=True, method="L-BFGS-B", options=options)
    if not np.isfinite(found.fun) or np.abs(found.jac).max() > 10 * _GRADIENT:
        raise ModelError(
            f"penalty {penalty:g}: no minimum after {found.nit} steps (largest gradient {np.abs(found.jac).max():.1e}); give a "
            "larger penalty"
        )
    weight, bias = found.x[:cut].reshape(shape), found.x[cut:]
    return weight, bias - bias.mean()
