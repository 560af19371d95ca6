#include "ops/clip_grad/clip_grad.h"

#include <cmath>
#include <limits>
#include <vector>

#include "core/bind.h"
#include "core/cuda.h"
#include "core/parallel.h"
#include "core/stream.h"

namespace fastcnn {
namespace {

using Pieces = std::vector<Tensor>;

void check_pieces(const char* op, const Pieces& grads) {
  check(!grads.empty(), op, ": there are no gradients");
  for (const Tensor& grad : grads) {
    check_type(grad.dtype() == DType::float32 || grad.dtype() == DType::bfloat16 ||
                   (grad.dtype() == DType::float64 && !grad.device().is_cuda()),
               op, ": a gradient is ", grad.dtype(), " on ", grad.device(),
               ", but float32, bfloat16 or, on the CPU, float64 is expected");
    check(grad.device() == grads[0].device(), op, ": gradients are on ", grads[0].device(), " and ", grad.device(),
          ", but one device is expected");
  }
}

GradNorm kind_of(double p) {
  if (p == 0) return GradNorm::zero;
  if (p == 1) return GradNorm::one;
  if (p == 2) return GradNorm::two;
  return std::isinf(p) ? GradNorm::largest : GradNorm::general;
}

double load(const float* p) { return double(*p); }
double load(const double* p) { return *p; }
double load(const bfloat16* p) { return double(to_float(*p)); }
void store(float* p, double x) { *p = float(x); }
void store(double* p, double x) { *p = x; }
void store(bfloat16* p, double x) { *p = to_bfloat16(float(x)); }

// body(elements of the piece's type).
template <class Body>
void with_elements(const Tensor& piece, const Body& body) {
  if (piece.dtype() == DType::float32) return body(piece.data<float>());
  if (piece.dtype() == DType::float64) return body(piece.data<double>());
  body(piece.data<bfloat16>());
}

double larger(double a, double b) { return a > b || a != a ? a : b; }

// sum |g|^p, or the largest |g|, of n elements. Eight sums, so that the compiler may use vectors.
template <class T>
double partial_norm(GradNorm kind, double p, const T* g, int64_t n) {
  double sums[8] = {};
  for (int64_t i = 0; i < n; i += 8) {
    const int count = n - i < 8 ? int(n - i) : 8;
    for (int k = 0; k < count; ++k) {
      const double x = std::fabs(load(g + i + k));
      switch (kind) {
        case GradNorm::zero:
          sums[k] += x != 0;
          break;
        case GradNorm::one:
          sums[k] += x;
          break;
        case GradNorm::two:
          sums[k] += x * x;
          break;
        case GradNorm::largest:
          sums[k] = larger(sums[k], x);
          break;
        case GradNorm::general:
          sums[k] += std::pow(x, p);
          break;
      }
    }
  }
  double total = sums[0];
  for (int k = 1; k < 8; ++k) total = kind == GradNorm::largest ? larger(total, sums[k]) : total + sums[k];
  return total;
}

double norm_cpu(GradNorm kind, double p, const Pieces& grads) {
  double total = 0;
  for (const Tensor& piece : grads) {
    const int64_t n = piece.numel(), count = (n + kNormBlock - 1) / kNormBlock;
    std::vector<double> partial(static_cast<size_t>(count));
    with_elements(piece, [&](const auto* g) {
      parallel_for(count, [&](int64_t i) {
        const int64_t begin = i * kNormBlock;
        partial[size_t(i)] = partial_norm(kind, p, g + begin, std::min(kNormBlock, n - begin));
      });
    });
    for (double x : partial) total = kind == GradNorm::largest ? larger(total, x) : total + x;
  }
  if (kind == GradNorm::two) return std::sqrt(total);
  return kind == GradNorm::general ? std::pow(total, 1 / p) : total;
}

int64_t partials_of(const Tensor& piece) { return (piece.numel() + kNormBlock - 1) / kNormBlock; }

Tensor grad_norm(const Pieces& grads, double norm_type) {
  check_pieces("clip_grad_norm_", grads);
  check(norm_type >= 0, "clip_grad_norm_: norm_type is ", norm_type, ", but must not be negative");
  const Device device = grads[0].device();
  bool wide = false;
  int64_t count = 0;
  for (const Tensor& piece : grads) {
    wide = wide || piece.dtype() == DType::float64;
    count += partials_of(piece);
  }
  const Tensor norm = empty({}, wide ? DType::float64 : DType::float32, device);
  const GradNorm kind = kind_of(norm_type);
  current_stream(device).run("grad_norm", [=] {
    FASTCNN_IF_CUDA(norm) {
      const Tensor partial = empty({count}, DType::float32, device);
      float* next = partial.data<float>();
      for (const Tensor& piece : grads) {
        cuda::grad_norm_partial(kind, float(norm_type), piece.dtype(), piece.raw(), piece.numel(), next);
        next += partials_of(piece);
      }
      return cuda::grad_norm_finish(kind, norm_type, partial.data<float>(), count, norm.data<float>());
    }
    with_elements(norm, [&](auto* result) { store(result, norm_cpu(kind, norm_type, grads)); });
  });
  return norm;
}

constexpr int64_t kGrain = int64_t(1) << 16;

// g = change(g) for every element of every piece.
template <class Change>
void change_all(const Pieces& grads, const Change& change) {
  for (const Tensor& piece : grads)
    with_elements(piece, [&](auto* g) {
      parallel_ranges(piece.numel(), kGrain, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) store(g + i, change(load(g + i)));
      });
    });
}

void scale_grads_(const Pieces& grads, const Tensor& norm, double max_norm) {
  check_pieces("clip_grad_norm_", grads);
  check(norm.numel() == 1 && norm.device() == grads[0].device(), "clip_grad_norm_: norm is ", norm.shape(), " on ",
        norm.device(), ", but one number on ", grads[0].device(), " is expected");
  for (const Tensor& piece : grads) piece.bump_version();
  current_stream(norm.device()).run("scale_grads_", [=] {
    FASTCNN_IF_CUDA(norm) {
      for (const Tensor& piece : grads)
        cuda::scale_grads(piece.dtype(), piece.raw(), piece.numel(), norm.data<float>(), float(max_norm));
      return;
    }
    double factor = 1;
    with_elements(norm, [&](const auto* value) { factor = max_norm / (load(value) + kNormEpsilon); });
    if (factor >= 1) return;
    if (norm.dtype() == DType::float32) factor = double(float(factor));
    change_all(grads, [factor](double g) { return g * factor; });
  });
}

void clamp_grads_(const Pieces& grads, double value) {
  check_pieces("clip_grad_value_", grads);
  check(value >= 0, "clip_grad_value_: clip_value is ", value, ", but must not be negative");
  for (const Tensor& piece : grads) piece.bump_version();
  current_stream(grads[0].device()).run("clamp_grads_", [=] {
    FASTCNN_IF_CUDA(grads[0]) {
      for (const Tensor& piece : grads) cuda::clamp_grads(piece.dtype(), piece.raw(), piece.numel(), float(value));
      return;
    }
    change_all(grads, [value](double g) { return g > value ? value : g < -value ? -value : g; });
  });
}

}  // namespace

void bind_clip_grad(py::module_& m) {
  m.def("grad_norm", &grad_norm, py::arg("grads"), py::arg("norm_type"), release_gil(),
        "The norm of all elements of a list of tensors as one number on their device.");
  m.def("scale_grads_", &scale_grads_, py::arg("grads"), py::arg("norm"), py::arg("max_norm"), release_gil(),
        "grads *= min(1, max_norm / (norm + 1e-6)).");
  m.def("clamp_grads_", &clamp_grads_, py::arg("grads"), py::arg("value"), release_gil(),
        "grads = min(max(grads, -value), value).");
}

}  // namespace fastcnn
