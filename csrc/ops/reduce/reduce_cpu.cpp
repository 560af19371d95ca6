// float32 reductions. A task is one chunk: `rows` x `columns` elements of one outer index, read once from memory.
// Lines with inner == 1 run along the vector lanes; otherwise lanes are neighbouring lines. Partial sums span at most
// 64 vector adds before they are merged, which bounds the rounding error.
#include "core/parallel.h"
#include "core/simd.h"
#include "core/simd_math.h"
#include "core/simd_reduce.h"
#include "ops/reduce/reduce.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

using namespace simd;

constexpr int64_t N = Vec::N;
constexpr int64_t kStep = 64;          // vectors per accumulator between merges
constexpr int64_t kMaxColumns = 1024;  // ReducePlan::columns is at most this
constexpr int64_t kTaskElements = int64_t(1) << 15;

// accumulate(acc, x, p): one more element; p is the line's parameter. merge: two partial results.
struct Sum {
  static constexpr float kIdentity = 0.0f;
  static Vec accumulate(Vec acc, Vec x, Vec) { return acc + x; }
  static Vec merge(Vec a, Vec b) { return a + b; }
  static double merge(double a, double b) { return a + b; }
};
struct SumAbs : Sum {
  static Vec accumulate(Vec acc, Vec x, Vec) { return acc + abs(x); }
};
struct SumSquares : Sum {
  static Vec accumulate(Vec acc, Vec x, Vec) { return fma(x, x, acc); }
};
struct SumDeviations : Sum {
  static Vec accumulate(Vec acc, Vec x, Vec mean) { return acc + (x - mean); }
};
struct SumSquaredDeviations : Sum {
  static Vec accumulate(Vec acc, Vec x, Vec mean) {
    const Vec d = x - mean;
    return fma(d, d, acc);
  }
};
struct SumExp : Sum {
  static Vec accumulate(Vec acc, Vec x, Vec shift) { return acc + exp(x - shift); }
};
struct CountEqual : Sum {
  static Vec accumulate(Vec acc, Vec x, Vec p) {
    const Vec one = set1(1.0f);
    return acc + select(x == p, one, select(is_nan(p), select(is_nan(x), one, zero()), zero()));
  }
};
struct Product {
  static constexpr float kIdentity = 1.0f;
  static Vec accumulate(Vec acc, Vec x, Vec) { return acc * x; }
  static Vec merge(Vec a, Vec b) { return a * b; }
  static double merge(double a, double b) { return a * b; }
};
struct ProductOfNonzero : Product {
  static Vec accumulate(Vec acc, Vec x, Vec) { return acc * select(x == zero(), set1(1.0f), x); }
};
struct Max {
  static constexpr float kIdentity = -__builtin_inff();
  static Vec accumulate(Vec acc, Vec x, Vec) { return max_or_nan(acc, x); }
  static Vec merge(Vec a, Vec b) { return max_or_nan(a, b); }
  static double merge(double a, double b) { return a > b || a != a ? a : b; }
};
struct Min {
  static constexpr float kIdentity = __builtin_inff();
  static Vec accumulate(Vec acc, Vec x, Vec) { return min_or_nan(acc, x); }
  static Vec merge(Vec a, Vec b) { return min_or_nan(a, b); }
  static double merge(double a, double b) { return a < b || a != a ? a : b; }
};
struct MaxAbs : Max {
  static constexpr float kIdentity = 0.0f;
  static Vec accumulate(Vec acc, Vec x, Vec) { return max_or_nan(acc, abs(x)); }
};

template <class Op>
double fold_lanes(Vec v) {
  return first(fold(v, [](Vec a, Vec b) { return Op::merge(a, b); }));
}

// One line of adjacent elements.
template <class Op>
float reduce_line(const float* x, int64_t n, float param) {
  const Vec p = set1(param), identity = set1(Op::kIdentity);
  double total = Op::kIdentity;
  int64_t i = 0;
  for (int64_t stop; n - i >= 4 * N; i = stop) {
    Vec a = identity, b = identity, c = identity, d = identity;
    const int64_t vectors = (n - i) / (4 * N);
    stop = i + (vectors < kStep ? vectors : kStep) * 4 * N;
    for (int64_t j = i; j < stop; j += 4 * N) {
      a = Op::accumulate(a, load(x + j), p);
      b = Op::accumulate(b, load(x + j + N), p);
      c = Op::accumulate(c, load(x + j + 2 * N), p);
      d = Op::accumulate(d, load(x + j + 3 * N), p);
    }
    total = Op::merge(total, fold_lanes<Op>(Op::merge(Op::merge(a, b), Op::merge(c, d))));
  }
  if (i == n) return float(total);
  Vec rest = identity;
  for (; n - i >= N; i += N) rest = Op::accumulate(rest, load(x + i), p);
  if (i < n) rest = select(lanes(n - i), Op::accumulate(rest, load_n(x + i, n - i), p), rest);
  return float(Op::merge(total, fold_lanes<Op>(rest)));
}

// `count` * N neighbouring lines, `row` elements apart from one element of a line to the next; the last vector holds
// `last` of them.
template <class Op, int count>
void reduce_strip(const float* x, int64_t rows, int64_t row, int64_t last, const float* param, float* y) {
  Vec total[count], p[count];
  for (int v = 0; v < count; ++v) {
    total[v] = set1(Op::kIdentity);
    p[v] = param ? load_n(param + v * N, v + 1 < count ? N : last) : zero();
  }
  for (int64_t begin = 0; begin < rows; begin += kStep) {
    const int64_t end = rows - begin < kStep ? rows : begin + kStep;
    Vec acc[count];
    for (int v = 0; v < count; ++v) acc[v] = set1(Op::kIdentity);
    for (int64_t r = begin; r < end; ++r) {
      const float* const source = x + r * row;
      for (int v = 0; v + 1 < count; ++v) acc[v] = Op::accumulate(acc[v], load(source + v * N), p[v]);
      acc[count - 1] = Op::accumulate(acc[count - 1], load_n(source + (count - 1) * N, last), p[count - 1]);
    }
    for (int v = 0; v < count; ++v) total[v] = Op::merge(total[v], acc[v]);
  }
  for (int v = 0; v < count; ++v) store_n(y + v * N, total[v], v + 1 < count ? N : last);
}

template <class Op>
void reduce_columns(const float* x, int64_t rows, int64_t columns, int64_t row, const float* param, float* y) {
  int64_t c = 0;
  for (; columns - c >= 4 * N; c += 4 * N) reduce_strip<Op, 4>(x + c, rows, row, N, param ? param + c : param, y + c);
  for (; c < columns; c += N)
    reduce_strip<Op, 1>(x + c, rows, row, columns - c < N ? columns - c : N, param ? param + c : param, y + c);
}

// Fewer lines than lanes: N rows together are one row of `columns` whole vectors.
template <class Op>
void reduce_narrow(const float* x, int64_t rows, int64_t columns, const float* param, float* y) {
  float wide[N * N], wide_param[N * N] = {};
  if (param)
    for (int64_t i = 0; i < N * columns; ++i) wide_param[i] = param[i % columns];
  const int64_t groups = rows / N;
  reduce_columns<Op>(x, groups, N * columns, N * columns, param ? wide_param : param, wide);
  float rest[N];
  reduce_columns<Op>(x + groups * N * columns, rows - groups * N, columns, columns, param, rest);
  for (int64_t c = 0; c < columns; ++c) {
    double total = rest[c];
    for (int64_t i = 0; i < N; ++i) total = Op::merge(total, double(wide[i * columns + c]));
    y[c] = float(total);
  }
}

// One chunk: y[0..columns). `row` is the distance between the elements of a line.
template <class Op>
void reduce_chunk(const float* x, int64_t rows, int64_t columns, int64_t row, const float* param, float* y) {
  if (row == 1) {
    *y = reduce_line<Op>(x, rows, param ? *param : 0.0f);
    return;
  }
  if constexpr (N > 1) {
    if (row < N && rows >= 4 * N) return reduce_narrow<Op>(x, rows, columns, param, y);
  }
  reduce_columns<Op>(x, rows, columns, row, param, y);
}

// body(first element, rows, columns, index of the first line, index of the chunk's first partial result).
template <class Body>
void for_each_chunk(const ReducePlan& p, const Body& body) {
  const int64_t units = p.outer * p.chunks * p.tiles;
  const int64_t unit_elements = p.rows * p.columns;
  const int64_t grain = unit_elements >= kTaskElements ? 1 : kTaskElements / (unit_elements > 0 ? unit_elements : 1);
  parallel_ranges(units, grain, [&](int64_t begin, int64_t end) {
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t tile = unit % p.tiles, chunk = unit / p.tiles % p.chunks, o = unit / p.tiles / p.chunks;
      const int64_t r = chunk * p.rows, c = tile * p.columns;
      body((o * p.length + r) * p.inner + c, p.length - r < p.rows ? p.length - r : p.rows,
           p.inner - c < p.columns ? p.inner - c : p.columns, o * p.inner + c, (o * p.chunks + chunk) * p.inner + c);
    }
  });
}

// body(o, first column, columns) over the lines, for merging the partial results of their chunks.
template <class Body>
void for_each_result(const ReducePlan& p, const Body& body) {
  parallel_for(p.outer * p.tiles, [&](int64_t i) {
    const int64_t c = i % p.tiles * p.columns;
    body(i / p.tiles, c, p.inner - c < p.columns ? p.inner - c : p.columns);
  });
}

template <class Op, class Finish>
void reduce_with(const ReducePlan& p, const float* x, const float* param, float* y, float* partials,
                 const Finish& finish) {
  for_each_chunk(p, [&](int64_t at, int64_t rows, int64_t columns, int64_t line, int64_t partial) {
    float* const result = p.chunks > 1 ? partials + partial : y + line;
    reduce_chunk<Op>(x + at, rows, columns, p.inner, param ? param + line : param, result);
    if (p.chunks == 1)
      for (int64_t c = 0; c < columns; ++c) result[c] = float(finish(double(result[c])));
  });
  if (p.chunks == 1) return;
  for_each_result(p, [&](int64_t o, int64_t first, int64_t columns) {
    double total[kMaxColumns];
    for (int64_t c = 0; c < columns; ++c) total[c] = Op::kIdentity;
    for (int64_t chunk = 0; chunk < p.chunks; ++chunk) {
      const float* const part = partials + (o * p.chunks + chunk) * p.inner + first;
      for (int64_t c = 0; c < columns; ++c) total[c] = Op::merge(total[c], double(part[c]));
    }
    for (int64_t c = 0; c < columns; ++c) y[o * p.inner + first + c] = float(finish(total[c]));
  });
}

bool is_finite(double x) { return __builtin_fabs(x) < __builtin_inf(); }

// log sum e^x = m + log sum e^(x - m) with m = max x (0 if that is infinite).
void reduce_logsumexp(const ReducePlan& p, const float* x, float* y, float* partials) {
  float* const partial_max = partials;
  float* const partial_sum = partials + p.outer * p.chunks * p.inner;
  for_each_chunk(p, [&](int64_t at, int64_t rows, int64_t columns, int64_t line, int64_t partial) {
    float shift[kMaxColumns], sum[kMaxColumns];
    reduce_chunk<Max>(x + at, rows, columns, p.inner, nullptr, shift);
    for (int64_t c = 0; c < columns; ++c) shift[c] = is_finite(shift[c]) ? shift[c] : 0.0f;
    reduce_chunk<SumExp>(x + at, rows, columns, p.inner, shift, sum);
    for (int64_t c = 0; c < columns; ++c) {
      if (p.chunks == 1) {
        y[line + c] = float(shift[c] + ::log(double(sum[c])));
      } else {
        partial_max[partial + c] = shift[c];
        partial_sum[partial + c] = sum[c];
      }
    }
  });
  if (p.chunks == 1) return;
  for_each_result(p, [&](int64_t o, int64_t first, int64_t columns) {
    for (int64_t c = first; c < first + columns; ++c) {
      double shift = -__builtin_inf(), total = 0.0;
      for (int64_t chunk = 0; chunk < p.chunks; ++chunk) {
        const int64_t i = (o * p.chunks + chunk) * p.inner + c;
        if (partial_sum[i] > 0.0f && partial_max[i] > shift) shift = partial_max[i];
      }
      if (!is_finite(shift)) shift = 0.0;
      for (int64_t chunk = 0; chunk < p.chunks; ++chunk) {
        const int64_t i = (o * p.chunks + chunk) * p.inner + c;
        if (partial_sum[i] != 0.0f) total += partial_sum[i] * ::exp(partial_max[i] - shift);
      }
      y[o * p.inner + c] = float(shift + ::log(total));
    }
  });
}

}  // namespace

void reduce_moments(const ReducePlan& plan, const float* x, float* mean, float* squares, float* partials) {
  const ReducePlan& p = plan;
  float* const chunk_mean = p.chunks > 1 ? partials : mean;
  float* const chunk_squares = p.chunks > 1 ? partials + p.outer * p.chunks * p.inner : squares;
  for_each_chunk(p, [&](int64_t at, int64_t rows, int64_t columns, int64_t line, int64_t partial) {
    // The rounded mean is corrected by the mean deviation from it, the squares by its square.
    float rough[kMaxColumns], deviation[kMaxColumns], squared[kMaxColumns];
    reduce_chunk<Sum>(x + at, rows, columns, p.inner, nullptr, rough);
    for (int64_t c = 0; c < columns; ++c) rough[c] = float(double(rough[c]) / double(rows));
    reduce_chunk<SumDeviations>(x + at, rows, columns, p.inner, rough, deviation);
    reduce_chunk<SumSquaredDeviations>(x + at, rows, columns, p.inner, rough, squared);
    const int64_t result = p.chunks > 1 ? partial : line;
    for (int64_t c = 0; c < columns; ++c) {
      const double d = double(deviation[c]) / double(rows);
      chunk_mean[result + c] = float(rough[c] + d);
      const double corrected = squared[c] - d * deviation[c];
      chunk_squares[result + c] = float(corrected < 0.0 ? 0.0 : corrected);
    }
  });
  if (p.chunks == 1) return;
  for_each_result(p, [&](int64_t o, int64_t first, int64_t columns) {
    for (int64_t c = first; c < first + columns; ++c) {
      double count = 0.0, m = 0.0, s = 0.0;
      for (int64_t chunk = 0; chunk < p.chunks; ++chunk) {
        const int64_t i = (o * p.chunks + chunk) * p.inner + c;
        const double rows = double(chunk + 1 < p.chunks ? p.rows : p.length - chunk * p.rows);
        const double delta = chunk_mean[i] - m;
        count += rows;
        s += chunk_squares[i] + delta * delta * (count - rows) * rows / count;
        m += delta * rows / count;
      }
      mean[o * p.inner + c] = float(m);
      squares[o * p.inner + c] = float(s);
    }
  });
}

void reduce_forward(const ReducePlan& plan, Reduce kind, float scale, const float* x, const float* param, float* y,
                    float* partials) {
  const auto same = [](double total) { return total; };
  switch (kind) {
    case Reduce::sum:
      return reduce_with<Sum>(plan, x, nullptr, y, partials, [scale](double total) { return total * scale; });
    case Reduce::prod:
      return reduce_with<Product>(plan, x, nullptr, y, partials, same);
    case Reduce::max:
      return reduce_with<Max>(plan, x, nullptr, y, partials, same);
    case Reduce::min:
      return reduce_with<Min>(plan, x, nullptr, y, partials, same);
    case Reduce::norm1:
      return reduce_with<SumAbs>(plan, x, nullptr, y, partials, same);
    case Reduce::norm2:
      return reduce_with<SumSquares>(plan, x, nullptr, y, partials, [](double total) { return ::sqrt(total); });
    case Reduce::norm_inf:
      return reduce_with<MaxAbs>(plan, x, nullptr, y, partials, same);
    case Reduce::logsumexp:
      return reduce_logsumexp(plan, x, y, partials);
    case Reduce::prod_nonzero:
      return reduce_with<ProductOfNonzero>(plan, x, nullptr, y, partials, same);
    case Reduce::count_equal:
      return reduce_with<CountEqual>(plan, x, param, y, partials, same);
  }
}

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
