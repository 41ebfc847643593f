// The gradient of a convolution for its weight: gw[co, (element, ci)] = sum over images and places of
// g[co, place] * x[ci, window element at place].
//
// The long dimension is the place, so a place must find its numbers side by side: bands of the image are copied with
// channels innermost (zeros around them), where the elements of one kernel row and all channels are one run; when such
// a run is short, the window itself is copied (im2col). Bands are dealt out to a few pieces, each with sums of its own,
// which are added in order: how many depends on sizes only. Small images share a unit of work, so that their sums stay
// in registers longer. Convolutions with one channel a group (depthwise) are dot products instead (conv_dots.h).
#include "cpu/backend_cpu.h"
#include "cpu/conv_dots.h"

namespace fg::cpu::FG_ISA {
namespace {

constexpr int64_t kBandBytes = 1024 * 1024;
constexpr int64_t kPlaces = 256;                   // of g that stay in L1 while the columns run
constexpr int64_t kImageBytes = int64_t{2} << 20;  // of small images whose sums run together
constexpr int64_t kBlockRows = 48;                 // output channels of one task, at least
constexpr int64_t kSumBytes = int64_t{2} << 20;

template <class F> FG_INLINE void loop(int64_t chunks, double cost, const F& body) {
  run(
      chunks, static_cast<int64_t>(cost), [](void* context, int64_t i) { (*static_cast<const F*>(context))(i); },
      const_cast<F*>(&body), false);
}

// out[j * pitch + i] = in[i * rs + j] for i < rows, j < n: channels of a run of places to innermost.
template <class T, bool Part> FG_INLINE void turn_block(T* out, int64_t pitch, const T* in, int64_t rs, int rows,
                                                        int n) {
  constexpr int L = kLanes<T>;
  Vec<T, L> block[L];
#pragma GCC unroll 16
  for (int r = 0; r < L; ++r) {
    if (Part) block[r] = r < rows ? load_part(in + r * rs, n) : Vec<T, L>{};
    else block[r] = load<L>(in + r * rs);
  }
  transpose<T, L>(block);
#pragma GCC unroll 16
  for (int r = 0; r < L; ++r) {
    if (!Part) store(out + r * pitch, block[r]);
    else if (r < n) store_part(out + r * pitch, block[r], rows);
  }
}
template <class T>
__attribute__((noinline)) void interleave(T* out, int64_t pitch, const T* in, int64_t rs, int64_t rows, int64_t n) {
  constexpr int L = kLanes<T>;
  for (int64_t i = 0; i < rows; i += L) {
    const int tall = static_cast<int>(smaller(L, rows - i));
    if (tall < L / 4) {
      for (int64_t j = 0; j < n; ++j)
        for (int r = 0; r < tall; ++r) out[j * pitch + i + r] = in[(i + r) * rs + j];
      continue;
    }
    for (int64_t j = 0; j < n; j += L) {
      const int wide = static_cast<int>(smaller(L, n - j));
      if (tall == L && wide == L) turn_block<T, false>(out + j * pitch + i, pitch, in + i * rs + j, rs, tall, wide);
      else turn_block<T, true>(out + j * pitch + i, pitch, in + i * rs + j, rs, tall, wide);
    }
  }
}

template <class T> struct WeightProduct {
  const ConvArgs& a;
  int64_t kernel, columns;       // elements of the kernel, columns of the sums
  bool windows;                  // im2col
  int64_t natural;               // numbers of a window that lie side by side in the image with channels innermost
  int64_t run_length, runs;      // columns side by side in the copy, and how many such runs there are
  int64_t rows_of_band, bands;   // rows of the output, bands of one depth
  int64_t width, height, place;  // of the copy; numbers from one place of it to the next
  int64_t images;                // of one unit
  int64_t blocks, block_rows;    // of output channels
  int64_t pieces, units;
  T* sums;  // [piece][group][output channel][column]

  int64_t unit_count() const { return ceil_div(a.batch, images) * a.out_size[0] * bands; }
  int64_t image_size() const { return a.kernel[0] * height * width * place; }
  int64_t copy_size() const { return image_size() + (windows ? rows_of_band * a.out_size[2] * columns : 0); }

  // channels of in[z][y][from x] to `to`, n places
  void copy_places(T* to, const T* x, int64_t z, int64_t y, int64_t from, int64_t n) const {
    const int64_t plane = a.in[0] * a.in[1] * a.in[2];
    interleave(to, place, x + (z * a.in[1] + y) * a.in[2] + from, plane, a.in_channels, n);
  }
  void copy_row(T* to, const T* x, int64_t z, int64_t y) const {  // width places, zeros outside the image
    if (z < 0 || z >= a.in[0] || y < 0 || y >= a.in[1]) return zero_run(to, width * place);
    const int64_t front = smaller(a.padding[2], width), n = most(0, smaller(a.in[2], width - front));
    zero_run(to, front * place);
    copy_places(to + front * place, x, z, y, 0, n);
    zero_run(to + (front + n) * place, (width - front - n) * place);
  }
  void copy_band(T* to, const T* x, int64_t z, int64_t y0, int64_t count) const {
    const int64_t lines = (count - 1) * a.stride[1] + (a.kernel[1] - 1) * a.dilation[1] + 1;
    const bool rows_join = width == a.in[2] && a.padding[1] == 0 && a.padding[2] == 0 && a.kernel[0] == 1;
    if (rows_join && a.padding[0] == 0) return copy_places(to, x, z * a.stride[0], y0 * a.stride[1], 0, lines * width);
    for (int64_t kz = 0; kz < a.kernel[0]; ++kz)
      for (int64_t line = 0; line < lines; ++line) {
        if (line % a.stride[1] > (a.kernel[1] - 1) * a.dilation[1]) continue;  // no window meets it
        copy_row(to + (kz * height + line) * width * place, x, z * a.stride[0] - a.padding[0] + kz * a.dilation[0],
                 y0 * a.stride[1] - a.padding[1] + line);
      }
  }
  // The windows of a band, from its copy with channels innermost.
  void copy_windows(T* to, const T* copy, int64_t count) const {
    const int64_t natural_runs = columns / natural;
    for (int64_t y = 0; y < count; ++y)
      for (int64_t x = 0; x < a.out_size[2]; ++x) {
        const T* from = copy + (y * a.stride[1] * width + x * a.stride[2]) * place;
        for (int64_t line = 0; line < natural_runs; ++line, to += natural)
          copy_run(to, from + run_offset(line), natural);
      }
  }

  // Adds a band: places (z, y0 .. y0 + count) of some images of one group, output channels [first, last).
  void add_band(const T* copy, const T* g, int64_t n_images, int64_t z, int64_t y0, int64_t count, int64_t first,
                int64_t last, T* to, bool fresh) const {
    constexpr int64_t N = kPanel<T>;
    const int64_t wide = a.out_size[2], plane = a.out_size[0] * a.out_size[1] * wide;
    PlaceTile<T> t;
    t.a_rs = plane;
    t.a_row = wide;
    t.c_rs = columns;
    t.b_step = windows ? columns : a.stride[2] * place;
    t.b_row = windows ? wide * columns : a.stride[1] * width * place;
    t.images = n_images;
    t.a_image = a.groups * a.out_channels * plane;
    t.b_image = copy_size();
    const int64_t rows = wide >= kPlaces ? 1 : smaller(count, kPlaces / wide);
    const int64_t length = smaller(wide, kPlaces);
    const int64_t step = ceil_div(last - first, ceil_div(last - first, kRows));
    for (int64_t y = 0; y < count; y += rows)
      for (int64_t x = 0; x < wide; x += length) {
        t.rows = smaller(rows, count - y);
        t.length = smaller(length, wide - x);
        t.fresh = fresh && y == 0 && x == 0;
        const T* places = g + (z * a.out_size[1] + y0 + y) * wide + x;
        for (int64_t line = 0; line < runs; ++line) {
          const T* b = copy + y * t.b_row + x * t.b_step + (windows ? 0 : run_offset(line));
          for (int64_t j = 0; j < run_length; j += N) {
            t.columns = static_cast<int>(smaller(N, run_length - j));
            t.b = b + j;
            for (int64_t i = first; i < last; i += step) {
              t.a = places + i * plane;
              t.c = to + i * columns + line * run_length + j;
              run_tile<PlaceKernels<T>>(t, static_cast<int>(smaller(step, last - i)));
            }
          }
        }
      }
  }
  int64_t run_offset(int64_t line) const {
    const bool rows_together = natural != a.in_channels || a.kernel[2] == 1;
    const int64_t kx = rows_together ? 0 : line % a.kernel[2];
    if (!rows_together) line /= a.kernel[2];
    const int64_t ky = line % a.kernel[1], kz = line / a.kernel[1];
    return ((kz * height + ky * a.dilation[1]) * width + kx * a.dilation[2]) * place;
  }

  // index: (piece, group, block of output channels)
  void task(int64_t index) const {
    const int64_t block = index % blocks, group = index / blocks % a.groups, piece = index / blocks / a.groups;
    const int64_t first = block * block_rows, last = smaller(a.out_channels, first + block_rows);
    const int64_t in_plane = a.in[0] * a.in[1] * a.in[2], out_plane = a.out_size[0] * a.out_size[1] * a.out_size[2];
    const int64_t total = unit_count(), begin = piece * units, end = smaller(total, begin + units);
    T* to = sums + (piece * a.groups + group) * a.out_channels * columns;
    Buffer<16384> memory;
    T* copy = static_cast<T*>(memory.get(images * copy_size() * static_cast<int64_t>(sizeof(T))));
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t band = unit % bands, z = unit / bands % a.out_size[0];
      const int64_t image = unit / bands / a.out_size[0] * images, n_images = smaller(images, a.batch - image);
      const int64_t y0 = band * rows_of_band, count = smaller(rows_of_band, a.out_size[1] - y0);
      const T* x = static_cast<const T*>(a.x) + (image * a.groups + group) * a.in_channels * in_plane;
      const T* g = static_cast<const T*>(a.g) + (image * a.groups + group) * a.out_channels * out_plane;
      for (int64_t i = 0; i < n_images; ++i) {
        T* of_image = copy + i * copy_size();
        copy_band(of_image, x + i * a.groups * a.in_channels * in_plane, z, y0, count);
        if (windows) copy_windows(of_image + image_size(), of_image, count);
      }
      add_band(windows ? copy + image_size() : copy, g, n_images, z, y0, count, first, last, to, unit == begin);
    }
    memory.done();
  }

  // Sums of all pieces, in order, with channels and kernel elements changing places.
  void finish(int64_t index) const {  // index: (group, output channel)
    const int64_t channels = a.in_channels, size = a.groups * a.out_channels * columns;
    T* from = sums + index * columns;
    for (int64_t piece = 1; piece < pieces; ++piece)
      for (int64_t j = 0; j < columns; ++j) from[j] += from[piece * size + j];
    T* to = static_cast<T*>(a.out) + index * columns;
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t e = 0; e < kernel; ++e) to[c * kernel + e] = from[e * channels + c];
  }

  void run_all() {
    kernel = a.kernel[0] * a.kernel[1] * a.kernel[2];
    columns = kernel * a.in_channels;
    constexpr int64_t L = kLanes<T>;
    natural = a.dilation[2] == 1 ? a.kernel[2] * a.in_channels : a.in_channels;
    // Windows fill their vectors better; a copy of one costs about what a few rows of sums do.
    const int64_t in_runs = columns / natural * ceil_div(natural, L), in_windows = ceil_div(columns, L);
    windows = kernel > 1 && (natural < L || (in_runs - in_windows) * a.out_channels > 4 * in_windows);
    // Places a multiple of 1 KB apart would fall on few sets of the caches.
    place = a.in_channels;
    if (!windows && place % kPanel<T> == 0 && place * static_cast<int64_t>(sizeof(T)) % 1024 == 0) {
      natural = a.in_channels;
      place += L;
    }
    run_length = windows ? columns : natural;
    runs = columns / run_length;
    width = (a.out_size[2] - 1) * a.stride[2] + (a.kernel[2] - 1) * a.dilation[2] + 1;
    const int64_t halo = (a.kernel[1] - 1) * a.dilation[1] + 1;
    const int64_t line = static_cast<int64_t>(sizeof(T)) *
                         (windows ? a.out_size[2] * columns : a.kernel[0] * width * place * a.stride[1]);
    rows_of_band = most(1, smaller(a.out_size[1], kBandBytes / line));
    bands = ceil_div(a.out_size[1], rows_of_band);
    rows_of_band = ceil_div(a.out_size[1], bands);
    bands = ceil_div(a.out_size[1], rows_of_band);
    height = (rows_of_band - 1) * a.stride[1] + halo;
    images = 1;
    if (bands == 1 && a.out_size[0] == 1 && a.out_size[1] * a.out_size[2] <= kPlaces)
      images = most(1, smaller(smaller(a.batch, 2 * kPlaces / (a.out_size[1] * a.out_size[2])),
                               kImageBytes / (copy_size() * static_cast<int64_t>(sizeof(T)))));

    const int64_t total = a.groups * a.out_channels * columns;
    const int64_t limit = most(1, kSumBytes / (total * static_cast<int64_t>(sizeof(T))));
    units = ceil_div(unit_count(), smaller(unit_count(), most(1, smaller(limit, ceil_div(16, a.groups)))));
    pieces = ceil_div(unit_count(), units);
    blocks = 1;
    // A power of two: five blocks would be three for one of two threads.
    if (pieces * a.groups < 8)
      while (blocks * 2 <= smaller(ceil_div(8, pieces * a.groups), a.out_channels / kBlockRows)) blocks *= 2;
    block_rows = ceil_div(ceil_div(a.out_channels, blocks), kRows) * kRows;
    blocks = ceil_div(a.out_channels, block_rows);

    const size_t bytes = static_cast<size_t>(pieces * total) * sizeof(T);
    sums = static_cast<T*>(scratch(bytes));
    const double places = static_cast<double>(a.batch * a.out_size[0] * a.out_size[1] * a.out_size[2]);
    loop(pieces * a.groups * blocks, places * static_cast<double>(total) / (2 * L) + places,
         [&](int64_t i) { task(i); });
    loop(a.groups * a.out_channels, static_cast<double>((pieces + 1) * total) / 2, [&](int64_t i) { finish(i); });
    release_scratch(sums, bytes);
  }
};

template <class T> void weight(const ConvArgs& a) {
  if (a.in_channels == 1 && a.out_channels < kRows && a.groups > 1) return weight_of_planes<T>(a);
  WeightProduct<T> q{a, 0, 0, false, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, nullptr};
  q.run_all();
}

}  // namespace

void conv_weight(const ConvArgs& a) {
  if (a.dtype == DType::Float64) weight<double>(a);
  else weight<float>(a);
}

}  // namespace fg::cpu::FG_ISA
