// The special functions of ops/special_math.h as plain calls: compiled once, called lane by lane from the kernels where
// math_special.h has no form for vectors, or not for these lanes.
#pragma once

namespace fg::cpu::special {

double lgamma(double x);
double digamma(double x);
double erfcx(double x);
double i0(double x);
double i0e(double x);
double i1(double x);
double i1e(double x);
double log_ndtr(double x);
double polygamma(double n, double x);
double zeta(double s, double q);
double igamma(double a, double x);
double igammac(double a, double x);
double plain_function(double kind, double x);
double polynomial(double kind, double x, double n);

}  // namespace fg::cpu::special
