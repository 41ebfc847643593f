// What comparisons of single numbers give and where() takes: one truth value, for the rows of ops/*.def.
#pragma once
#ifndef FG_HD
#define FG_HD
#endif

namespace fg {

struct Truth {
  bool v;
  friend FG_HD Truth operator&(Truth a, Truth b) { return {a.v && b.v}; }
  friend FG_HD Truth operator|(Truth a, Truth b) { return {a.v || b.v}; }
  friend FG_HD Truth operator^(Truth a, Truth b) { return {a.v != b.v}; }
  friend FG_HD bool any(Truth a) { return a.v; }
};

}  // namespace fg
