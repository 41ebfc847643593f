// Forward mode: tensors that carry tangents, the derivative along one direction, from op to op.
//
// Levels nest (a jvp inside a jvp). A tensor has at most one tangent for each level; the tangent of a level is computed
// by ordinary ops that see the tangents of the lower levels only, so derivatives of different directions do not mix.
//
// While a level is open (mode bit kForward) an op on tensors with tangents makes its node as if a gradient were wanted.
// settle_tangents() then asks the node for the tangents of its outputs: Node::jvp where the node has one, as rows do; a
// view of the tangent for views; otherwise J t as the derivative of J^T v with respect to v. The node is dropped
// afterwards unless a gradient really is wanted. It runs before the next op looks at a tensor and before Python sees
// the result; not at once, because nodes save their outputs after set_history().
#pragma once
#include <utility>

#include "autograd/node.h"

namespace fg {

int open_level();    // enters the next level, returns its number
void close_level();  // leaves the last one; its tangents are gone
int open_levels();
bool forward_enabled();
void enable_forward(bool on);
int limit_forward(int limit);  // ops look at tangents of levels below; returns what it was

void settle_tangents();
Tensor tangent_of(const Tensor& t, int level);  // undefined: none
bool carries_tangent(const Tensor& t);          // at a level that ops look at now

// An alias of `primal` with that tangent.
Tensor make_dual(const Tensor& primal, const Tensor& tangent, int level);
// An alias without the tangent of this level and those above, and the tangent.
std::pair<Tensor, Tensor> unpack_dual(const Tensor& t, int level);
// in_place: after a change in place, also the tangents of the base and its other views follow.
void set_tangent(const Tensor& t, int level, Tensor value, bool in_place = false);
void drop_tangents(const Tensor& t);      // detach_()
void relay_tangents(const Tensor& t);     // t has got other sizes and strides over the same elements
Tensor without_graph(const Tensor& t);    // as detach(), but keeps tangents
Tensor without_history(const Tensor& t);  // the same; t itself where it has none
void share_tangents(const Tensor& to, const Node& node, uint32_t nr);  // of output nr of a node, to a saved copy of it

void refuse_forward_out(const char* op, const Tensor& t);  // torch's error for an op with out=

// ---- for recording
void connect_forward(Node& node, int i, const Tensor& t);
// Notes that `out` is output nr of this node, whose tangent is to be computed. False: no gradient is wanted, so the
// node is no history.
bool note_forward(const Tensor& out, const Ptr<Node>& node, uint32_t nr, bool in_place);
bool only_forward(const Edge& edge);  // the place of an input that wants no gradient but has a tangent

}  // namespace fg
