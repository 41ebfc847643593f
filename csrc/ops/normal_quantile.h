// The normal quantile and the inverse error function by Wichura's algorithm AS 241, exact to a few ulp of double: for
// vectors on the CPU and numbers in CUDA kernels. Beside the words of formula.h V has any(mask) and poly(x, c0, c1,
// ...).
//
// Included inside a namespace of the includer's own.
#ifndef FG_HD
#define FG_HD
#endif

// The quantile of 0.5 + q, |q| <= 0.5, where `tail` is the distance of that to 0 or 1.
template <class V> FG_HD V normal_quantile(V q, V tail) {
  V a = abs(q), r = 0.180625 - q * q;
  V y = q *
        poly(r, 3.3871328727963666080, 133.14166789178437745, 1971.5909503065514427, 13731.693765509461125,
             45921.953931549871457, 67265.770927008700853, 33430.575583588128105, 2509.0809287301226727) /
        poly(r, 1.0, 42.313330701600911252, 687.18700749205790830, 5394.1960214247511077, 21213.794301586595867,
             39307.895800092710610, 28729.085735721942674, 5226.4952788528545610);
  if (any(a > 0.425)) {
    V root = sqrt(-log(tail)), s = root - 1.6;
    V outer =
        poly(s, 1.42343711074968357734, 4.63033784615654529590, 5.76949722146069140550, 3.64784832476320460504,
             1.27045825245236838258, 0.241780725177450611770, 0.0227238449892691845833, 7.74545014278341407640e-4) /
        poly(s, 1.0, 2.05319162663775882187, 1.67638483018380384940, 0.689767334985100004550, 0.148103976427480074590,
             0.0151986665636164571966, 5.47593808499534494600e-4, 1.05075007164441684324e-9);
    if (any(root > 5)) {
      s = root - 5;
      V far = poly(s, 6.65790464350110377720, 5.46378491116411436990, 1.78482653991729133580, 0.296560571828504891230,
                   0.0265321895265761230930, 0.00124266094738807843860, 2.71155556874348757815e-5,
                   2.01033439929228813265e-7) /
              poly(s, 1.0, 0.599832206555887937690, 0.136929880922735805310, 0.0148753612908506148525,
                   7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7,
                   2.04426310338993978564e-15);
      outer = where(root > 5, far, outer);
    }
    outer = where(tail == 0, __builtin_inf(), outer);
    y = where(a > 0.425, copysign(outer, q), y);
  }
  return where(a <= 0.5, y, __builtin_nan(""));
}
template <class V> FG_HD V erfinv_of(V x) {
  return normal_quantile<V>(0.5 * x, 0.5 * (1 - abs(x))) * 0.707106781186547524401;
}
template <class V> FG_HD V ndtri_of(V p) {
  V q = p - 0.5;
  return normal_quantile<V>(q, where(q < 0, p, 1 - p));
}
