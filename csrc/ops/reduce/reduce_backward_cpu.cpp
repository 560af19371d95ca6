// float32 gradients of reductions: one pass over x (outer, length, inner), the line's numbers broadcast along `length`.
#include "core/parallel.h"
#include "core/simd.h"
#include "core/simd_math.h"
#include "ops/reduce/reduce.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

using namespace simd;

constexpr int64_t N = Vec::N;
constexpr int64_t kTaskElements = int64_t(1) << 15;

struct Line {
  Vec y, aux, g;  // g already carries the scale
};

Vec with_sign_of(Vec g, Vec x) { return select(x > zero(), g, select(x < zero(), zero() - g, x * zero())); }

struct SumGrad {
  static Vec apply(Vec, const Line& line) { return line.g; }
};
struct ProdGrad {
  static Vec apply(Vec x, const Line& line) {
    const Vec rest = line.g * line.y;  // product of the other elements, if x is the only zero
    return select(x == zero(), select(line.aux == set1(1.0f), rest, zero()),
                  select(line.aux == zero(), rest / x, zero()));
  }
};
struct ExtremeGrad {
  static Vec apply(Vec x, const Line& line) {
    const Vec share = line.g / line.aux;
    return select(x == line.y, share, select(is_nan(x), select(is_nan(line.y), share, zero()), zero()));
  }
};
struct Norm1Grad {
  static Vec apply(Vec x, const Line& line) { return with_sign_of(line.g, x); }
};
struct Norm2Grad {
  static Vec apply(Vec x, const Line& line) { return select(line.y == zero(), zero(), line.g * (x / line.y)); }
};
struct NormInfGrad {
  static Vec apply(Vec x, const Line& line) {
    return select(abs(x) == line.y, with_sign_of(line.g / line.aux, x), zero());
  }
};
struct LogSumExpGrad {
  static Vec apply(Vec x, const Line& line) {
    const Vec all_minus_infinity = set1(-__builtin_inff());
    return line.g * exp(x - select(line.y == all_minus_infinity, zero(), line.y));
  }
};
struct VarGrad {
  static Vec apply(Vec x, const Line& line) { return line.g * (x - line.y); }
};
struct StdGrad {
  static Vec apply(Vec x, const Line& line) {
    return select(line.aux == zero(), zero(), line.g * set1(0.5f) / line.aux * (x - line.y));
  }
};

template <class Op>
void apply(const ReducePlan& p, float scale, const float* x, const float* y, const float* aux, const float* g,
           float* grad_x) {
  const Vec factor = set1(scale);
  const auto at = [](const float* values, int64_t i, int64_t n) { return values ? load_n(values + i, n) : zero(); };
  const auto all = [](const float* values, int64_t i) { return values ? set1(values[i]) : zero(); };
  // Rows of `inner` elements; with inner == 1 a whole line counts as a row.
  const int64_t width = p.inner == 1 ? p.length : p.inner;
  const int64_t rows = p.inner == 1 ? p.outer : p.outer * p.length;
  const int64_t tile = int64_t(1) << 14;
  const int64_t tiles = (width + tile - 1) / tile;
  const int64_t grain = kTaskElements / (width < tile ? width + 1 : tile) + 1;
  parallel_ranges(rows * tiles, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = i / tiles, first = i % tiles * tile;
      const int64_t last = width - first < tile ? width : first + tile;
      const float* const source = x ? x + row * width : nullptr;
      float* const result = grad_x + row * width;
      if (p.inner == 1) {
        const Line line = {all(y, row), all(aux, row), set1(g[row]) * factor};
        for (int64_t c = first; c < last; c += N) {
          const int64_t n = last - c < N ? last - c : N;
          store_n(result + c, Op::apply(at(source, c, n), line), n);
        }
      } else {
        const int64_t o = row / p.length * p.inner;
        for (int64_t c = first; c < last; c += N) {
          const int64_t n = last - c < N ? last - c : N;
          const Line line = {at(y, o + c, n), at(aux, o + c, n), load_n(g + o + c, n) * factor};
          store_n(result + c, Op::apply(at(source, c, n), line), n);
        }
      }
    }
  });
}

}  // namespace

void reduce_backward(const ReducePlan& plan, ReduceGrad kind, float scale, const float* x, const float* y,
                     const float* aux, const float* g, float* grad_x) {
  switch (kind) {
    case ReduceGrad::sum:
      return apply<SumGrad>(plan, scale, nullptr, nullptr, nullptr, g, grad_x);
    case ReduceGrad::prod:
      return apply<ProdGrad>(plan, scale, x, y, aux, g, grad_x);
    case ReduceGrad::extreme:
      return apply<ExtremeGrad>(plan, scale, x, y, aux, g, grad_x);
    case ReduceGrad::norm1:
      return apply<Norm1Grad>(plan, scale, x, nullptr, nullptr, g, grad_x);
    case ReduceGrad::norm2:
      return apply<Norm2Grad>(plan, scale, x, y, nullptr, g, grad_x);
    case ReduceGrad::norm_inf:
      return apply<NormInfGrad>(plan, scale, x, y, aux, g, grad_x);
    case ReduceGrad::logsumexp:
      return apply<LogSumExpGrad>(plan, scale, x, y, nullptr, g, grad_x);
    case ReduceGrad::var:
      return apply<VarGrad>(plan, scale, x, y, nullptr, g, grad_x);
    case ReduceGrad::std:
      return apply<StdGrad>(plan, scale, x, y, aux, g, grad_x);
  }
}

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
