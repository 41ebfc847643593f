// Where padding by elements of the tensor itself takes them from, and where they went: for the kernels of every device.
#pragma once
#include "core/backend.h"
#ifndef FG_HD
#define FG_HD
#endif

namespace fg {

// One dimension of `size` elements, extended by `before` and `after`, or cut where these are negative.
template <class I> struct PaddedDim {
  Border border;
  I size, before, after;

  // Which element lies at `place`, counted from the first one; -1: none does, the value does.
  FG_HD I source(I place) const {
    if (place >= 0 && place < size) return place;
    switch (border) {
      case Border::reflect: return place < 0 ? -place : 2 * (size - 1) - place;
      case Border::replicate: return place < 0 ? 0 : size - 1;
      case Border::circular:  // what was cut off at the other end is not there to come round
        return place < 0 ? place + size + (after < 0 ? after : 0) : place - size - (before < 0 ? before : 0);
      default: return -1;
    }
  }

  // The other way: calls fn(place) for the places of the extended dimension, counted from its start, that show an
  // element. Not for Border::constant.
  template <class Fn> FG_HD void shown(I element, const Fn& fn) const {
    const I extended = size + before + after, own = element + before;
    if (own >= 0 && own < extended) fn(own);
    if (border == Border::replicate) {
      if (element == 0) {
        for (I place = 0; place < before; ++place) fn(place);
      }
      if (element == size - 1) {
        for (I place = before + size; place < extended; ++place) fn(place);
      }
      return;
    }
    const bool reflect = border == Border::reflect;
    const I front = reflect ? before - element : own - size - (after < 0 ? after : 0);
    const I back = reflect ? own + 2 * (size - 1 - element) : own + size + (before < 0 ? before : 0);
    if (front >= 0 && front < before && front != own) fn(front);
    if (back >= before + size && back < extended && back != own) fn(back);
  }
};

}  // namespace fg
