// State of autocast regions and the casts they ask for. See autocast.h.
#include "ops/autocast.h"

#include <unordered_map>

namespace fg {

thread_local AutocastState autocast_state;

namespace {

// A weight is used by many ops of a region: its cast is made and recorded once. Cleared when the outermost region ends.
struct Cast {
  Tensor from, to;
  uint32_t version;
};
thread_local std::unordered_map<const TensorImpl*, Cast> casts;

}  // namespace

void set_autocast(DeviceType device, bool on) {
  autocast_state.on[static_cast<int>(device)] = on;
  bool any = autocast_state.on[0] || autocast_state.on[1];
  mode = static_cast<uint8_t>(any ? mode | kAutocast : mode & ~kAutocast);
}

void clear_autocast_cache() { casts.clear(); }

Tensor to_autocast(const Tensor& t) {
  if (!t.defined() || !is_floating(t.dtype()) || t.dtype() == DType::Float64) return t;
  DType dtype = autocast_state.dtype[static_cast<int>(t.device().type)];
  if (t.dtype() == dtype) return t;
  bool keep = autocast_state.cache && t.dtype() == DType::Float32 && t.requires_grad() && t.is_leaf() && !t.is_view() &&
              grad_enabled();
  if (!keep) return to_dtype(t, dtype);
  auto found = casts.find(t.impl());
  if (found != casts.end() && found->second.to.dtype() == dtype && found->second.version == t.version())
    return found->second.to;
  Tensor to = to_dtype(t, dtype);
  casts[t.impl()] = {t, to, t.version()};
  return to;
}

Tensor to_float(const Tensor& t) {
  bool half = t.defined() && is_half(t.dtype());
  return half ? to_dtype(t, DType::Float32) : t;
}

}  // namespace fg
