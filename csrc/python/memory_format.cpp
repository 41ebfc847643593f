#include "python/memory_format.h"

#include <string_view>

namespace fg::py {

Format format_of(const Call& c, int i, Format otherwise) {
  if (!c.has(i)) return otherwise;
  PyObject* text = PyObject_Str(c.v[i]);
  if (!text) raise_pending();
  const char* bytes = PyUnicode_AsUTF8(text);
  std::string name = bytes ? bytes : "";
  Py_DECREF(text);
  if (!bytes) raise_pending();
  if (std::string_view(Py_TYPE(c.v[i])->tp_name) != "memory_format") c.type_error(i, "torch.memory_format");
  if (name == "torch.channels_last") return Format::channels_last;
  if (name == "torch.channels_last_3d") return Format::channels_last_3d;
  return name == "torch.contiguous_format" ? Format::contiguous : Format::preserve;
}

DimArray format_strides(const Tensor& t, Format format) {
  if (format == Format::preserve) return DimArray(t.strides());
  if (format == Format::contiguous) return contiguous_strides(t.sizes());
  const int rank = format == Format::channels_last ? 4 : 5;
  FG_CHECK(t.dim() == rank, Runtime, "required rank ", rank, " tensor to use channels_last", rank == 5 ? "_3d" : "",
           " format");
  DimArray strides(t.sizes());
  int64_t step = 1;
  auto next = [&](int d) {
    strides[d] = step;
    step *= std::max<int64_t>(t.size(d), 1);
  };
  next(1);
  for (int d = rank - 1; d >= 2; --d) next(d);
  next(0);
  return strides;
}

bool is_in_format(const Tensor& t, Format format) {
  if (format == Format::preserve || format == Format::contiguous) return t.is_contiguous();
  if (t.dim() != (format == Format::channels_last ? 4 : 5)) return false;
  DimArray strides = format_strides(t, format);
  for (int d = 0; d < t.dim(); ++d)
    if (t.size(d) != 1 && t.stride(d) != strides[d]) return false;
  return true;
}

Tensor in_format(const Tensor& t, Format format) {
  if (format == Format::preserve) return t;
  DimArray strides = format_strides(t, format);
  return same(t.strides(), strides) ? t : copy_with_strides(t, strides);
}

}  // namespace fg::py
