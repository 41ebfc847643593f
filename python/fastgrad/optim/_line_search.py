"""A step length that satisfies the strong Wolfe conditions, for LBFGS.

Nocedal and Wright, Numerical Optimization, algorithms 3.5 and 3.6: first an interval that holds such a length is found
by growing steps, then it is narrowed by cubic interpolation. Constants and safeguards are torch's, so steps agree.
"""
from typing import NamedTuple


class _Trial(NamedTuple):
    length: object  # a number or a tensor of one element, as the two below
    loss: float
    grad: object
    slope: object   # of the loss along the direction


def _cubic_minimum(a, b, low=None, high=None):
    """Where the cubic through two trials has its minimum, within bounds (the trials, unless given)."""
    if low is None:
        low, high = (a.length, b.length) if a.length <= b.length else (b.length, a.length)
    first = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.length - b.length)
    square = first ** 2 - a.slope * b.slope
    if not square >= 0:
        return (low + high) / 2.0
    root = square.sqrt()
    if a.length > b.length:
        a, b = b, a
    best = b.length - (b.length - a.length) * ((b.slope + root - first) / (b.slope - a.slope + 2 * root))
    return min(max(best, low), high)


def strong_wolfe(evaluate, length, direction, loss, grad, slope, max_evaluations, decrease=1e-4, curvature=0.9,
                 tolerance=1e-9):
    """(loss, gradient, length, evaluations): `evaluate(length)` gives loss and gradient at that step."""
    scale = direction.abs().max()
    limit = -curvature * slope

    def trial_at(length):
        value, grad = evaluate(length)
        return _Trial(length, value, grad, grad.dot(direction))

    start = last = _Trial(0, loss, grad.clone(), slope)
    trial = trial_at(length)
    evaluations, rounds, done, bracket = 1, 0, False, None
    while rounds < max_evaluations:
        if trial.loss > loss + decrease * trial.length * slope or (rounds > 1 and trial.loss >= last.loss):
            bracket = [last, trial]
        elif abs(trial.slope) <= limit:
            bracket, done = [trial], True
        elif trial.slope >= 0:
            bracket = [last, trial]
        if bracket:
            break
        length = _cubic_minimum(last, trial, trial.length + 0.01 * (trial.length - last.length), trial.length * 10)
        last, trial = trial, trial_at(length)
        evaluations += 1
        rounds += 1
    if rounds == max_evaluations:
        bracket = [start, trial]

    stuck = False
    low, high = (0, 1) if bracket[0].loss <= bracket[-1].loss else (1, 0)
    while not done and rounds < max_evaluations:
        if abs(bracket[1].length - bracket[0].length) * scale < tolerance:
            break
        length = _cubic_minimum(bracket[0], bracket[1])
        # Too near an end, twice in a row or beyond it: a tenth of the interval inside of that end.
        left, right = min(bracket[0].length, bracket[1].length), max(bracket[0].length, bracket[1].length)
        margin = 0.1 * (right - left)
        if min(right - length, length - left) < margin:
            if stuck or length >= right or length <= left:
                length = right - margin if abs(length - right) < abs(length - left) else left + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        trial = trial_at(length)
        evaluations += 1
        rounds += 1
        if trial.loss > loss + decrease * trial.length * slope or trial.loss >= bracket[low].loss:
            bracket[high] = trial
            low, high = (0, 1) if bracket[0].loss <= bracket[1].loss else (1, 0)
            continue
        if abs(trial.slope) <= limit:
            done = True
        elif trial.slope * (bracket[high].length - bracket[low].length) >= 0:
            bracket[high] = bracket[low]
        bracket[low] = trial
    best = bracket[low]
    return best.loss, best.grad, best.length, evaluations
