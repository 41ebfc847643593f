// The Python object of a random generator.
#pragma once
#include "ops/random.h"
#include "python/args.h"

namespace fg::py {

extern PyTypeObject* generator_type;
Generator& generator_of(PyObject* object);       // a TypeError for anything else
Generator* generator_arg(const Call& c, int i);  // null for None: the default generator

}  // namespace fg::py
