"""Every head again, slowly: float64, plain loops over samples and classes, no autograd.

A loss takes embeddings x [B, D], class rows w [C, D] and labels y. What a head keeps from batches
or detaches (scales, t, qualities, drawn margins) is handed in, so that finite differences hold it
still, as the gradient does.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Loss = Callable[[Floats, Floats], float]


def cosine(a: Floats, b: Floats) -> float:
    return float(a @ b) / (math.sqrt(float(a @ a)) * math.sqrt(float(b @ b)))


def angle(c: float) -> float:
    return math.acos(max(-1.0, min(1.0, c)))


def cross_entropy(logits: Sequence[float], label: int) -> float:
    top = max(logits)
    return top + math.log(sum(math.exp(z - top) for z in logits)) - logits[label]


def softplus(z: float) -> float:
    return max(z, 0.0) + math.log1p(math.exp(-abs(z)))


def softmax(x: Floats, w: Floats, y: Sequence[int], bias: Floats) -> float:
    losses = []
    for i, label in enumerate(y):
        losses.append(cross_entropy([float(x[i] @ w[j]) + bias[j] for j in range(len(w))], label))
    return sum(losses) / len(losses)


def margin_loss(
    x: Floats,
    w: Floats,
    y: Sequence[int],
    *,
    scale: float,
    target: Callable[[int, float], float],
    centres: int = 1,
) -> float:
    """Cross-entropy of scaled cosines; ``target`` maps sample and cosine to what stands there."""
    losses = []
    for i, label in enumerate(y):
        logits = []
        for j in range(len(w) // centres):
            rows = w[j * centres : (j + 1) * centres]
            c = max(cosine(x[i], row) for row in rows)
            logits.append(scale * (target(i, c) if j == label else c))
        losses.append(cross_entropy(logits, label))
    return sum(losses) / len(losses)


def arc(c: float, m: float) -> float:
    theta = angle(c)
    return math.cos(theta + m) if theta + m < math.pi else c - m * math.sin(m)


def easy_arc(c: float, m: float) -> float:
    return arc(c, m) if c > 0 else c


def combined(c: float, m1: float, m2: float, m3: float) -> float:
    turned = m1 * angle(c) + m2
    if turned < math.pi:
        return math.cos(turned) - m3
    return -1 - (math.cos((math.pi - m2) / m1) - c) - m3


def sphereface(
    x: Floats, w: Floats, y: Sequence[int], *, m: int, lam: float, share: float
) -> float:
    losses = []
    for i, label in enumerate(y):
        norm = math.sqrt(float(x[i] @ x[i]))
        logits = []
        for j in range(len(w)):
            c = cosine(x[i], w[j])
            if j == label:
                k = min(m - 1, int(angle(c) * m / math.pi))
                psi = (-1) ** k * math.cos(m * angle(c)) - 2 * k
                c -= share * (c - (lam * c + psi) / (1 + lam))
            logits.append(norm * c)
        losses.append(cross_entropy(logits, label))
    return sum(losses) / len(losses)


def adacos_scale(x: Floats, w: Floats, y: Sequence[int], scale: float) -> float:
    total, angles = 0.0, []
    for i, label in enumerate(y):
        for j in range(len(w)):
            c = cosine(x[i], w[j])
            if j == label:
                angles.append(angle(c))
            else:
                total += math.exp(scale * c)
    median = sorted(angles)[(len(angles) - 1) // 2]
    fitted = math.log(total / len(y)) / math.cos(min(math.pi / 4, median))
    return min(fitted, 2 * math.sqrt(2) * math.log(len(w) - 1))


def adaface_state(x: Floats, mean: float, deviation: float) -> tuple[float, float]:
    """The moving averages after one batch, with the weight .01 on it."""
    norms = [min(100.0, max(1e-3, math.sqrt(float(row @ row)))) for row in x]
    batch_mean = sum(norms) / len(norms)
    variance = sum((n - batch_mean) ** 2 for n in norms) / (len(norms) - 1)
    return 0.99 * mean + 0.01 * batch_mean, 0.99 * deviation + 0.01 * math.sqrt(variance)


def adaface_quality(x: Floats, mean: float, deviation: float) -> list[float]:
    norms = [min(100.0, max(1e-3, math.sqrt(float(row @ row)))) for row in x]
    return [max(-1.0, min(1.0, 0.333 * (n - mean) / (deviation + 1e-3))) for n in norms]


def adaface_target(c: float, m: float, quality: float) -> float:
    turned = min(math.pi - 1e-3, max(1e-3, angle(c) - m * quality))
    return math.cos(turned) - m * (1 + quality)


def magface(x: Floats, w: Floats, y: Sequence[int], *, scale: float, share: float) -> float:
    lengths = [min(110.0, max(10.0, math.sqrt(float(row @ row)))) for row in x]
    margins = [0.45 + (0.8 - 0.45) * (a - 10) / (110 - 10) for a in lengths]
    loss = margin_loss(x, w, y, scale=scale, target=lambda i, c: easy_arc(c, share * margins[i]))
    return loss + 35 * sum(1 / a + a / 110**2 for a in lengths) / len(lengths)


def curricularface(
    x: Floats, w: Floats, y: Sequence[int], *, scale: float, m: float, t: float
) -> float:
    losses = []
    for i, label in enumerate(y):
        target = arc(cosine(x[i], w[label]), m)
        logits = []
        for j in range(len(w)):
            c = cosine(x[i], w[j])
            if j == label:
                logits.append(scale * target)
            elif c > target:
                logits.append(scale * c * (t + c))
            else:
                logits.append(scale * c)
        losses.append(cross_entropy(logits, label))
    return sum(losses) / len(losses)


def sphereface2(
    x: Floats, w: Floats, y: Sequence[int], *, scale: float, m: float, bias: float
) -> float:
    total = 0.0
    for i, label in enumerate(y):
        for j in range(len(w)):
            g = 2 * ((cosine(x[i], w[j]) + 1) / 2) ** 3 - 1
            if j == label:
                total += 0.7 / scale * softplus(-(scale * (g - m) + bias))
            else:
                total += 0.3 / scale * softplus(scale * (g + m) + bias)
    return 50 * total / len(y)


def differences(loss: Loss, x: Floats, w: Floats) -> tuple[Floats, Floats]:
    """Central finite differences of the loss by embeddings and by class rows."""
    step = 1e-6
    gradients = []
    for values in (x, w):
        gradient = np.zeros_like(values)
        for place in np.ndindex(values.shape):
            kept = values[place]
            values[place] = kept + step
            above = loss(x, w)
            values[place] = kept - step
            below = loss(x, w)
            values[place] = kept
            gradient[place] = (above - below) / (2 * step)
        gradients.append(gradient)
    return gradients[0], gradients[1]
