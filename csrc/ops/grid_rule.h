// Where the points of a sampling grid lie in an image, and what the pixels around them count: for the kernels of every
// device. Without branches, so that loops over points are vectors.
//
// Included inside a namespace of the includer's own, who defines FG_RULE (how a rule is inlined) and floor_of().

// A place in pixels and its derivative.
template <class T> struct Place {
  T at, slope;
};

template <class T> FG_RULE Place<T> in_pixels(T x, T size, bool align_corners) {
  if (align_corners) return {(x + 1) / 2 * (size - 1), (size - 1) / 2};
  return {((x + 1) * size - 1) / 2, size / 2};
}
// Into [low, low + span] by turning round at its ends.
template <class T> FG_RULE Place<T> reflected(Place<T> p, T low, T span) {
  const T from = p.at - low, away = from < 0 ? -from : from;
  const T flips = floor_of(away / span), rest = away - flips * span, pairs = floor_of(flips / 2);
  const T slope = from < 0 ? -p.slope : p.slope;
  const bool even = flips == pairs + pairs;
  return {even ? rest + low : span - rest + low, even ? slope : -slope};
}
// Places outside brought in, unless zeros are there.
template <GridPadding padding, class T> FG_RULE Place<T> brought_in(Place<T> p, T size, bool align_corners) {
  if constexpr (padding == GridPadding::zeros) return p;
  const T last = size - 1;
  if constexpr (padding == GridPadding::reflection) {
    if (align_corners) p = last > 0 ? reflected(p, T(0), last) : Place<T>{T(0), T(0)};
    else p = reflected(p, T(-0.5), size);
  }
  const T at = p.at > 0 ? p.at : T(0);                         // 0 where it is not a number
  const T slope = p.at <= 0 || p.at >= last ? T(0) : p.slope;  // none at the ends either, as in torch
  return {at > last ? last : at, slope};
}

// A whole place as an index, -1 outside and where it is not a number.
template <class T> FG_RULE int32_t pixel(T whole, T size) {
  return whole >= 0 && whole < size ? static_cast<int32_t>(whole) : -1;
}

// What a pixel counts at a distance of 1 to 2 (far) and up to 1 (near) in bicubic interpolation, with the derivatives.
template <class T> struct Cubic {
  static constexpr T a = T(-0.75);
  FG_RULE static T far(T d) { return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a; }
  FG_RULE static T near(T d) { return ((a + 2) * d - (a + 3)) * d * d + 1; }
  FG_RULE static T far_slope(T d) { return (3 * a * d - 10 * a) * d + 8 * a; }
  FG_RULE static T near_slope(T d) { return (3 * (a + 2) * d - 2 * (a + 3)) * d; }
};
