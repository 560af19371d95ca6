// Positions of the extremes of float32 lines, found again by their value: the first element equal to it, or the first
// NaN.
#include "core/parallel.h"
#include "core/simd.h"
#include "ops/reduce/reduce.h"

namespace fastcnn {
namespace FASTCNN_ISA {
namespace {

using namespace simd;

constexpr int64_t N = Vec::N;
constexpr int64_t kTaskElements = int64_t(1) << 15;
constexpr int64_t kBlock = 256;
constexpr int64_t kExactRows = int64_t(1) << 23;  // row numbers below are exact in a float

bool matches(float v, float wanted) { return (v == wanted) | (v != v); }

int64_t find_in_line(const float* x, int64_t n, float wanted) {
  int64_t i = 0;
  for (; n - i > kBlock; i += kBlock) {
    int any = 0;
    for (int64_t j = i; j < i + kBlock; ++j) any |= int(matches(x[j], wanted));
    if (any) break;
  }
  while (i + 1 < n && !matches(x[i], wanted)) ++i;
  return i;
}

// Up to `count` * N neighbouring lines, `row` elements apart from one element of a line to the next.
template <int count>
void find_in_strip(const float* x, int64_t rows, int64_t row, int64_t columns, const float* wanted, int64_t* index) {
  for (int64_t end = rows; end > 0; end -= kExactRows) {  // from the last block to the first: the first match stays
    const int64_t begin = end > kExactRows ? end - kExactRows : 0;
    Vec value[count], found[count];
    int64_t lanes[count];
    for (int v = 0; v < count; ++v) {
      lanes[v] = columns - v * N < N ? columns - v * N : N;
      value[v] = load_n(wanted + v * N, lanes[v]);
      found[v] = set1(-1.0f);
    }
    for (int64_t r = end; r-- > begin;) {
      const Vec number = set1(float(r - begin));
      for (int v = 0; v < count; ++v) {
        const Vec element = load_n(x + r * row + v * N, lanes[v]);
        found[v] = select(is_nan(element), number, select(element == value[v], number, found[v]));
      }
    }
    for (int v = 0; v < count; ++v) {
      float numbers[N];
      store(numbers, found[v]);
      for (int64_t c = 0; c < lanes[v]; ++c)
        if (numbers[c] >= 0.0f) index[v * N + c] = begin + int64_t(numbers[c]);
    }
  }
}

}  // namespace

void reduce_index(const ReducePlan& plan, const float* x, const float* value, int64_t* index) {
  const ReducePlan& p = plan;
  const int64_t width = p.inner == 1 ? 1 : 4 * N, strips = (p.inner + width - 1) / width;
  const int64_t grain = kTaskElements / (p.length * width + 1) + 1;
  parallel_ranges(p.outer * strips, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t o = i / strips, c = i % strips * width, line = o * p.inner + c;
      const float* const source = x + o * p.length * p.inner + c;
      const int64_t columns = p.inner - c < width ? p.inner - c : width;
      if (p.inner == 1)
        index[line] = find_in_line(source, p.length, value[line]);
      else if (columns > 3 * N)
        find_in_strip<4>(source, p.length, p.inner, columns, value + line, index + line);
      else
        for (int64_t v = 0; v < columns; v += N)
          find_in_strip<1>(source + v, p.length, p.inner, columns - v < N ? columns - v : N, value + line + v,
                           index + line + v);
    }
  });
}

}  // namespace FASTCNN_ISA
}  // namespace fastcnn
