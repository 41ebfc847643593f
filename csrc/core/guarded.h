// The table of a device whose errors are kept, as ops see it: entries that throw.
#pragma once
#include "core/backend.h"

namespace fg {

Backend guarded(const Backend& raw);  // raw: lives on; one device family
// Throws an error of `table` that this thread has not taken yet, its text beginning with what and rest.
void throw_kept(const Backend& table, const char* what, const char* rest = "");

}  // namespace fg
