// Errors: one C++ exception with the Python class it becomes. Texts start with the op and name what clashes.
#pragma once
#include <exception>
#include <sstream>
#include <string>

namespace fg {

enum class ErrorKind {
  Runtime,
  Type,
  Value,
  Index,
  NotImplemented,
  OutOfMemory,
  Pending /* a Python error is already set */
};

class Error : public std::exception {
 public:
  Error(ErrorKind kind, std::string text) : kind_(kind), text_(std::move(text)) {}
  const char* what() const noexcept override { return text_.c_str(); }
  ErrorKind kind() const { return kind_; }
  void append(const std::string& text) { text_ += text; }

 private:
  ErrorKind kind_;
  std::string text_;
};

template <class... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

template <class... Parts>
[[noreturn, gnu::noinline, gnu::cold]] void fail(ErrorKind kind, const Parts&... parts) {
  throw Error(kind, concat(parts...));
}

// FG_CHECK(condition, Value, "softmax: dim ", dim, " ...");
#define FG_CHECK(condition, kind, ...)                \
  do {                                                \
    if (!(condition)) [[unlikely]]                    \
      ::fg::fail(::fg::ErrorKind::kind, __VA_ARGS__); \
  } while (0)

}  // namespace fg
