#include "cpu/special.h"

#include <cmath>
#include <cstdint>

namespace fg::cpu::special {

namespace {
namespace math {
#define FG_SPECIAL inline
#include "ops/special_math.h"
#undef FG_SPECIAL
}  // namespace math
}  // namespace

#define FG_ONE(name) \
  double name(double x) { return math::name(x); }
FG_ONE(digamma)
FG_ONE(erfcx)
FG_ONE(i0)
FG_ONE(i0e)
FG_ONE(i1)
FG_ONE(i1e)
FG_ONE(log_ndtr)
#undef FG_ONE
#define FG_TWO(name) \
  double name(double a, double x) { return math::name(a, x); }
FG_TWO(polygamma)
FG_TWO(zeta)
FG_TWO(igamma)
FG_TWO(igammac)
#undef FG_TWO
double lgamma(double x) { return math::log_gamma(x); }
double plain_function(double kind, double x) { return math::plain_function(static_cast<int>(kind), x); }
double polynomial(double kind, double x, double n) { return math::polynomial(static_cast<int>(kind), x, n); }

}  // namespace fg::cpu::special
