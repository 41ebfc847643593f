// What a rule of ops/optim_rules.h is told about a parameter beside the options, once for every device: three numbers,
// which follow from its step count and from what else its state keeps as a number.
//
//   sgd      1 at the first step (the buffer becomes the gradient)
//   adam     -lr / (1 - beta1^t), sqrt(1 - beta2^t)
//   adagrad  -lr / (1 + (t - 1) lr_decay)
//   adamax   -lr / (1 - beta1^t)
//   nadam    1 - beta2^t, factor of the gradient, factor of its mean
//   radam    1 - beta1^t, sqrt(1 - beta2^t), rectification (0: none yet, plain momentum)
//   asgd     1 - lambd eta, -eta, mu (1: the average is the parameter itself)
//
// Options that OptimArgs has no field of their own for: adagrad's lr_decay and nadam's momentum_decay are its alpha;
// asgd's lambd is low, its t0 high, its alpha alpha.
//
// Included inside a namespace of the includer's own, who defines FG_RULE.

// t: of the coming step, from 1 (sgd: 0 = first step). kept: nadam's mu_product; asgd's eta and mu. They are moved on.
// single: float32 is what keeps them.
template <class Args>
FG_RULE void optim_numbers(const Args& a, double lr, double t, double (&kept)[2], bool single, double* n) {
  n[0] = n[1] = n[2] = 0;
  switch (a.kind) {
    case Optim::sgd: n[0] = t == 0; break;
    case Optim::adam:
      n[0] = -(lr / (1 - ::pow(a.beta1, t)));
      n[1] = ::sqrt(1 - ::pow(a.beta2, t));
      break;
    case Optim::adagrad: n[0] = -(lr / (1 + (t - 1) * a.alpha)); break;
    case Optim::adamax: n[0] = -(lr / (1 - ::pow(a.beta1, t))); break;
    case Optim::nadam: {
      const double mu = a.beta1 * (1 - 0.5 * ::pow(0.96, t * a.alpha)),
                   mu_next = a.beta1 * (1 - 0.5 * ::pow(0.96, (t + 1) * a.alpha));
      double product = kept[0] * mu;
      if (single) product = static_cast<float>(product);
      n[0] = 1 - ::pow(a.beta2, t);
      n[1] = -lr * (1 - mu) / (1 - product);
      n[2] = -lr * mu_next / (1 - product * mu_next);
      kept[0] = product;
      break;
    }
    case Optim::radam: {
      const double power2 = ::pow(a.beta2, t), correction2 = 1 - power2;
      const double longest = 2 / (1 - a.beta2) - 1, length = longest - 2 * t * power2 / correction2;
      n[0] = 1 - ::pow(a.beta1, t), n[1] = ::sqrt(correction2);
      if (length > 5) n[2] = ::sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length));
      break;
    }
    case Optim::asgd: {
      n[0] = 1 - a.low * kept[0], n[1] = -kept[0], n[2] = kept[1];
      const double late = t - a.high;
      kept[0] = lr / ::pow(1 + a.low * lr * t, a.alpha);
      kept[1] = 1 / (late > 1 ? late : 1);
      break;
    }
    default: break;
  }
}
