// The tangents that one tensor carries (or one output that a node saved), each in the ring of its level, so that the
// end of a level reaches them all.
#pragma once
#include <memory>

#include "core/tensor.h"

namespace fg {

struct Tangent {
  Tensor value;
  int level = -1;
  std::unique_ptr<Tangent> next;
  Tangent *before = this, *after = this;  // the ring
  Tangent() = default;
  Tangent(const Tangent&) = delete;
  ~Tangent();
  void link(Tangent& head) {
    before = &head, after = head.after;
    head.after->before = this, head.after = this;
  }
  void unlink() {
    before->after = after, after->before = before;
    before = after = this;
  }
};

class TangentList {
 public:
  Tensor* find(int level);
  bool any_below(int limit) const;
  void set(int level, Tensor value);
  void drop_from(int level);
  void copy_to(TangentList& to) const;

 private:
  std::unique_ptr<Tangent> first_;
};

}  // namespace fg
