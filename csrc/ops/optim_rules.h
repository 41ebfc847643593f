// The updates of all optimizers, once for every device: a rule reads one element (or vector) of the parameter, its
// gradient and its states, and writes the new ones. Formulas and their order are those of torch's per-tensor
// implementation.
//
// V is Vec<T> (cpu/vec.h) or Num<T> (cuda/num.cuh). Cell gives the place: param(), grad(), state(k) and the setters.
// Included inside a namespace of the includer's own, who defines FG_RULE (how a rule is inlined).
//
// The three numbers of a parameter that a rule reads (n0, n1, n2) are made in ops/optim_numbers.h.

template <class V> struct OptimRule {
  V lr, momentum, undamped, weight_decay, beta1, beta2, rest1, rest2, eps, alpha, rest_alpha, low, high, kept, n0, n1,
      n2;
  bool negate, decay, shrink, nesterov, amsgrad, centered, moves, first, rectified, whole, near_start;

  // a: the options, under OptimArgs' names; n: the numbers of this parameter.
  template <class Args>
  FG_RULE OptimRule(const Args& a, const double* n)
      : lr(-a.lr),
        momentum(a.momentum),
        undamped(1 - a.dampening),
        weight_decay(a.weight_decay),
        beta1(a.beta1),
        beta2(a.beta2),
        rest1(1 - a.beta1),
        rest2(1 - a.beta2),
        eps(a.eps),
        alpha(a.alpha),
        rest_alpha(1 - a.alpha),
        low(a.low),
        high(a.high),
        kept(1 - a.lr * a.weight_decay),
        n0(n[0]),
        n1(n[1]),
        n2(n[2]),
        negate(a.maximize),
        decay(a.weight_decay != 0 && !a.decoupled),
        shrink(a.weight_decay != 0 && a.decoupled),
        nesterov(a.nesterov),
        amsgrad(a.amsgrad),
        centered(a.centered),
        moves(a.momentum > 0),
        first(n[0] != 0),
        rectified(n[2] != 0),
        whole(n[2] == 1),
        near_start((a.kind == Optim::rmsprop ? 1 - a.alpha : 1 - a.beta1) < 0.5) {}

  // The gradient that every rule starts from.
  FG_RULE V gradient(V g, V p) const {
    if (negate) g = -g;
    return decay ? g + p * weight_decay : g;
  }
  // A running mean, as torch's lerp: the form that is exact at the nearer end.
  FG_RULE V mean(V from, V to, V weight, V other) const {
    const V delta = to - from;
    return near_start ? from + weight * delta : to - delta * other;
  }
};

template <class V, class Cell> FG_RULE void sgd(const OptimRule<V>& r, const Cell& at) {
  const V p = at.param();
  V g = r.gradient(at.grad(), p);
  if (r.moves) {
    const V buffer = r.first ? g : at.state(0) * r.momentum + g * r.undamped;
    at.set_state(0, buffer);
    g = r.nesterov ? g + buffer * r.momentum : buffer;
  }
  at.set_param(p + g * r.lr);
}

template <class V, class Cell> FG_RULE void adam(const OptimRule<V>& r, const Cell& at) {
  V p = at.param();
  const V g = r.gradient(at.grad(), p);
  if (r.shrink) p = p * r.kept;
  const V m = r.mean(at.state(0), g, r.rest1, r.beta1), v = at.state(1) * r.beta2 + r.rest2 * g * g;
  at.set_state(0, m);
  at.set_state(1, v);
  V largest = v;
  if (r.amsgrad) {
    largest = max(at.state(2), v);
    at.set_state(2, largest);
  }
  at.set_param(p + r.n0 * m / (sqrt(largest) / r.n1 + r.eps));
}

template <class V, class Cell> FG_RULE void rmsprop(const OptimRule<V>& r, const Cell& at) {
  const V p = at.param(), g = r.gradient(at.grad(), p);
  const V square = at.state(0) * r.alpha + r.rest_alpha * g * g;
  at.set_state(0, square);
  V spread = square;
  if (r.centered) {
    const V m = r.mean(at.state(2), g, r.rest_alpha, r.alpha);
    at.set_state(2, m);
    spread = square - m * m;
  }
  const V scale = sqrt(spread) + r.eps;
  if (r.moves) {
    const V buffer = at.state(1) * r.momentum + g / scale;
    at.set_state(1, buffer);
    at.set_param(p + buffer * r.lr);
  } else {
    at.set_param(p + r.lr * g / scale);
  }
}

template <class V, class Cell> FG_RULE void adagrad(const OptimRule<V>& r, const Cell& at) {
  const V p = at.param(), g = r.gradient(at.grad(), p), total = at.state(0) + g * g;
  at.set_state(0, total);
  at.set_param(p + r.n0 * g / (sqrt(total) + r.eps));
}

template <class V, class Cell> FG_RULE void adadelta(const OptimRule<V>& r, const Cell& at) {
  const V p = at.param(), g = r.gradient(at.grad(), p);
  const V square = at.state(0) * r.alpha + r.rest_alpha * g * g, moved = at.state(1);
  const V delta = sqrt(moved + r.eps) / sqrt(square + r.eps) * g;
  at.set_state(0, square);
  at.set_state(1, moved * r.alpha + r.rest_alpha * delta * delta);
  at.set_param(p + delta * r.lr);
}

template <class V, class Cell> FG_RULE void adamax(const OptimRule<V>& r, const Cell& at) {
  const V p = at.param(), g = r.gradient(at.grad(), p);
  const V m = r.mean(at.state(0), g, r.rest1, r.beta1), largest = max(at.state(1) * r.beta2, abs(g) + r.eps);
  at.set_state(0, m);
  at.set_state(1, largest);
  at.set_param(p + r.n0 * m / largest);
}

template <class V, class Cell> FG_RULE void nadam(const OptimRule<V>& r, const Cell& at) {
  V p = at.param();
  const V g = r.gradient(at.grad(), p);
  if (r.shrink) p = p * r.kept;
  const V m = r.mean(at.state(0), g, r.rest1, r.beta1), v = at.state(1) * r.beta2 + r.rest2 * g * g;
  at.set_state(0, m);
  at.set_state(1, v);
  const V scale = sqrt(v / r.n0) + r.eps;
  at.set_param(p + r.n1 * g / scale + r.n2 * m / scale);
}

template <class V, class Cell> FG_RULE void radam(const OptimRule<V>& r, const Cell& at) {
  V p = at.param();
  const V g = r.gradient(at.grad(), p);
  if (r.shrink) p = p * r.kept;
  const V m = r.mean(at.state(0), g, r.rest1, r.beta1), v = at.state(1) * r.beta2 + r.rest2 * g * g;
  at.set_state(0, m);
  at.set_state(1, v);
  V change = m / r.n0 * r.lr;
  if (r.rectified) change = change * (r.n1 / (sqrt(v) + r.eps)) * r.n2;
  at.set_param(p + change);
}

// beta1, beta2: the factors of a step size after a change of sign, and without one; low, high: its bounds.
template <class V, class Cell> FG_RULE void rprop(const OptimRule<V>& r, const Cell& at) {
  V g = at.grad();
  if (r.negate) g = -g;
  const V agreement = g * at.state(0), none = zero(g);
  const V factor = where(agreement > none, r.beta2, where(agreement < none, r.beta1, none + 1));
  const V step = min(max(at.state(1) * factor, r.low), r.high);
  g = where(agreement < none, none, g);
  at.set_state(0, g);
  at.set_state(1, step);
  at.set_param(at.param() - sign(g) * step);
}

template <class V, class Cell> FG_RULE void asgd(const OptimRule<V>& r, const Cell& at) {
  V p = at.param();
  const V g = r.gradient(at.grad(), p), average = at.state(0);
  p = p * r.n0 + g * r.n1;
  at.set_param(p);
  at.set_state(0, r.whole ? p : average + (p - average) * r.n2);
}
