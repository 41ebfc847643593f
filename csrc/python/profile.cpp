// The profiler's recording for Python; fastgrad/profiler makes tables and traces of it.
#include "core/profile.h"

#include "python/args.h"
#include "python/convert.h"
#include "python/functions.h"

namespace fg::py {

namespace {

PyObject* start(Call& c) {
  profile_start({c.boolean(0, false), c.boolean(1, false)});
  Py_RETURN_NONE;
}
PyObject* pause(Call& c) {
  profile_pause(c.boolean(0, true));
  Py_RETURN_NONE;
}

PyObject* shape_list(const ProfileEvent& e) {
  PyObject* list = PyList_New(static_cast<Py_ssize_t>(e.shapes.size()));
  if (!list) raise_pending();
  for (size_t i = 0; i < e.shapes.size(); ++i) {
    PyObject* sizes = PyList_New(e.shapes[i].n);
    if (!sizes) raise_pending();
    for (int d = 0; d < e.shapes[i].n; ++d) PyList_SET_ITEM(sizes, d, PyLong_FromLongLong(e.shapes[i].v[d]));
    PyList_SET_ITEM(list, static_cast<Py_ssize_t>(i), sizes);
  }
  return list;
}

// A list of (kind, name, start, end, bytes, parent, shapes); times in nanoseconds.
PyObject* stop(Call&) {
  static constexpr const char* kinds[] = {"op", "backward", "user"};
  std::vector<ProfileEvent> events = profile_stop();
  Owned list(PyList_New(static_cast<Py_ssize_t>(events.size())));
  for (size_t i = 0; i < events.size(); ++i) {
    const ProfileEvent& e = events[i];
    PyObject* entry =
        Py_BuildValue("(ssLLLiN)", kinds[e.kind], e.name.c_str(), static_cast<long long>(e.start_ns),
                      static_cast<long long>(e.end_ns), static_cast<long long>(e.bytes), e.parent, shape_list(e));
    if (!entry) raise_pending();
    PyList_SET_ITEM(list.o, static_cast<Py_ssize_t>(i), entry);
  }
  return Py_NewRef(list.o);
}

PyObject* enter(Call& c) {
  const char* name = c.text(0, "");
  return PyLong_FromLong(mode & kProfile ? profile_enter(ProfileEvent::User, name) : -1);
}
PyObject* leave(Call& c) {
  int64_t event = c.integer(0);
  if (event >= 0) profile_exit(static_cast<int>(event));
  Py_RETURN_NONE;
}

constexpr FunctionDef defs[] = {
    {"_profile_start", kStatic, "record_shapes=False, profile_memory=False", start, nullptr},
    {"_profile_pause", kStatic, "paused", pause, nullptr},
    {"_profile_stop", kStatic, "", stop, nullptr},
    {"_profile_enter", kStatic, "name", enter, nullptr},
    {"_profile_exit", kStatic, "event", leave, nullptr},
};
Signature defs_signatures[sizeof(defs) / sizeof(defs[0])];

}  // namespace

bool init_profile(PyObject* module) { return FG_REGISTER(defs, module); }

}  // namespace fg::py
