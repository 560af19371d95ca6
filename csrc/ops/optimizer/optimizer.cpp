#include "ops/optimizer/optimizer.h"

#include <cmath>
#include <vector>

#include "core/bind.h"
#include "core/stream.h"

namespace fastcnn {
namespace {

// The buffers of one arena; all of one shape (elements,), dtype and device.
struct Arena {
  Tensor params, grads, steps, segments, hyper;
};

void check_arena(const char* op, const Arena& arena, std::initializer_list<OptionalTensor> states, int hyper) {
  check_float(op, "params", arena.params);
  check_same(op, "params", arena.params, "grads", arena.grads);
  check(arena.params.rank() == 1 && arena.grads.shape() == arena.params.shape(), op, ": params ", arena.params.shape(),
        " and grads ", arena.grads.shape(), " must be flat and of one size");
  check_type(arena.steps.dtype() == DType::int64 && arena.segments.dtype() == DType::int64 &&
                 arena.hyper.dtype() == DType::float64,
             op, ": steps and segments must be int64, hyper float64");
  check(arena.segments.rank() == 2 && arena.segments.size(1) == 3, op, ": segments has shape ", arena.segments.shape(),
        ", but (n, 3) is expected");
  check(arena.hyper.numel() >= hyper, op, ": hyper has ", arena.hyper.numel(), " numbers, but ", hyper,
        " are expected");
  for (const OptionalTensor& state : states) {
    if (!state) continue;
    check_same(op, "params", arena.params, "state", *state);
    check(state->shape() == arena.params.shape(), op, ": a state has shape ", state->shape(), ", but ",
          arena.params.shape(), " is expected");
    state->bump_version();
  }
  const int64_t* const rows = arena.segments.data<int64_t>();
  for (int64_t i = 0; i < arena.segments.size(0); ++i)
    check(rows[3 * i] >= 0 && rows[3 * i + 1] >= 0 && rows[3 * i + 1] <= arena.params.numel() - rows[3 * i] &&
              rows[3 * i + 2] >= 0 && rows[3 * i + 2] < arena.steps.numel(),
          op, ": segment ", i, " lies outside the arena");
  arena.params.bump_version();
}

// Elements [begin, end) of the arena whose parameters are at step `step`, the one now being made.
struct Range {
  int64_t begin, end, step;
};

// Advances the steps of the parameters, if they are counted, and merges neighbours. The gap that aligns the next
// parameter to 64 bytes holds zeros in every buffer and is stepped over with them.
std::vector<Range> advance(const Arena& arena, bool counted) {
  std::vector<Range> ranges;
  const int64_t* const rows = arena.segments.data<int64_t>();
  int64_t* const steps = arena.steps.data<int64_t>();
  const int64_t gap = 64 / size_of(arena.params.dtype());
  for (int64_t i = 0; i < arena.segments.size(0); ++i) {
    const int64_t begin = rows[3 * i], end = begin + rows[3 * i + 1];
    const int64_t step = steps[rows[3 * i + 2]] += counted;
    if (!ranges.empty() && ranges.back().step == step && begin >= ranges.back().end && begin - ranges.back().end < gap)
      ranges.back().end = end;
    else
      ranges.push_back({begin, end, step});
  }
  return ranges;
}

// Runs body(range, float() or double()) for every range when the stream reaches the call.
template <class Body>
void run(const char* name, const Arena& arena, bool counted, const Body& body) {
  current_stream(arena.params.device()).run(name, [arena, counted, body] {
    for (const Range& range : advance(arena, counted))
      arena.params.dtype() == DType::float32 ? body(range, float()) : body(range, double());
  });
}

template <class T>
T* at(const Tensor& buffer, int64_t begin) {
  return buffer.defined() ? buffer.data<T>() + begin : nullptr;
}

void sgd(const Arena& arena, const OptionalTensor& momentum_buffer, bool nesterov, bool maximize) {
  check_arena("sgd", arena, {momentum_buffer}, 4);
  const Tensor buffer = value_or_undefined(momentum_buffer);
  run("sgd", arena, buffer.defined(), [=](Range r, auto zero) {
    using T = decltype(zero);
    const double* const h = arena.hyper.data<double>();
    const SgdStep<T> s{T(h[0]), T(h[1]), T(h[2]), T(h[3]), nesterov, maximize, r.step == 1};
    T *const p = at<T>(arena.params, r.begin), *const g = at<T>(arena.grads, r.begin);
    if constexpr (sizeof(T) == 4)
      FASTCNN_CPU(sgd_step)(s, p, g, at<T>(buffer, r.begin), r.end - r.begin);
    else
      sgd_step_reference(s, p, g, at<T>(buffer, r.begin), r.end - r.begin);
  });
}

void adam(const Arena& arena, const Tensor& exp_avg, const Tensor& exp_avg_sq, const OptionalTensor& max_exp_avg_sq,
          bool decoupled_weight_decay, bool bias_correction, bool maximize) {
  check_arena("adam", arena, {exp_avg, exp_avg_sq, max_exp_avg_sq}, 5);
  const Tensor largest = value_or_undefined(max_exp_avg_sq);
  run("adam", arena, true, [=](Range r, auto zero) {
    using T = decltype(zero);
    const double* const h = arena.hyper.data<double>();
    const double lr = h[0], beta1 = h[1], beta2 = h[2], eps = h[3], weight_decay = h[4];
    AdamStep<T> s{};
    s.step_size = T(bias_correction ? lr / (1.0 - std::pow(beta1, double(r.step))) : lr);
    s.sqrt_correction = T(bias_correction ? std::sqrt(1.0 - std::pow(beta2, double(r.step))) : 1.0);
    s.beta1 = T(beta1), s.beta2 = T(beta2), s.eps = T(eps);
    s.shrink = T(decoupled_weight_decay ? 1.0 - lr * weight_decay : 1.0);
    s.weight_decay = T(decoupled_weight_decay ? 0.0 : weight_decay);
    s.maximize = maximize;
    T *const p = at<T>(arena.params, r.begin), *const g = at<T>(arena.grads, r.begin);
    T *const m = at<T>(exp_avg, r.begin), *const v = at<T>(exp_avg_sq, r.begin), *const v_max = at<T>(largest, r.begin);
    if constexpr (sizeof(T) == 4)
      FASTCNN_CPU(adam_step)(s, p, g, m, v, v_max, r.end - r.begin);
    else
      adam_step_reference(s, p, g, m, v, v_max, r.end - r.begin);
  });
}

void rmsprop(const Arena& arena, const Tensor& square_avg, const OptionalTensor& grad_avg,
             const OptionalTensor& momentum_buffer, bool maximize) {
  check_arena("rmsprop", arena, {square_avg, grad_avg, momentum_buffer}, 5);
  const Tensor mean = value_or_undefined(grad_avg), buffer = value_or_undefined(momentum_buffer);
  run("rmsprop", arena, true, [=](Range r, auto zero) {
    using T = decltype(zero);
    const double* const h = arena.hyper.data<double>();
    const RmspropStep<T> s{T(h[0]), T(h[1]), T(h[2]), T(h[3]), T(h[4]), maximize};
    T *const p = at<T>(arena.params, r.begin), *const g = at<T>(arena.grads, r.begin);
    T *const square = at<T>(square_avg, r.begin), *const average = at<T>(mean, r.begin);
    if constexpr (sizeof(T) == 4)
      FASTCNN_CPU(rmsprop_step)(s, p, g, square, average, at<T>(buffer, r.begin), r.end - r.begin);
    else
      rmsprop_step_reference(s, p, g, square, average, at<T>(buffer, r.begin), r.end - r.begin);
  });
}

void adagrad(const Arena& arena, const Tensor& sum, bool maximize) {
  check_arena("adagrad", arena, {sum}, 4);
  run("adagrad", arena, true, [=](Range r, auto zero) {
    using T = decltype(zero);
    const double* const h = arena.hyper.data<double>();  // lr, lr_decay, eps, weight_decay
    const AdagradStep<T> s{T(h[0] / (1.0 + double(r.step - 1) * h[1])), T(h[2]), T(h[3]), maximize};
    T *const p = at<T>(arena.params, r.begin), *const g = at<T>(arena.grads, r.begin);
    if constexpr (sizeof(T) == 4)
      FASTCNN_CPU(adagrad_step)(s, p, g, at<T>(sum, r.begin), r.end - r.begin);
    else
      adagrad_step_reference(s, p, g, at<T>(sum, r.begin), r.end - r.begin);
  });
}

}  // namespace

void bind_optimizer(py::module_& m) {
  py::class_<Arena>(m, "OptimizerArena", "Flat buffers of parameters: params, grads, steps, segments, hyper.")
      .def(py::init<Tensor, Tensor, Tensor, Tensor, Tensor>(), py::arg("params"), py::arg("grads"), py::arg("steps"),
           py::arg("segments"), py::arg("hyper"));
  m.def("sgd_step", &sgd, py::arg("arena"), py::arg("momentum_buffer"), py::arg("nesterov"), py::arg("maximize"),
        release_gil(), "hyper: lr, momentum, dampening, weight_decay.");
  m.def("adam_step", &adam, py::arg("arena"), py::arg("exp_avg"), py::arg("exp_avg_sq"), py::arg("max_exp_avg_sq"),
        py::arg("decoupled_weight_decay"), py::arg("bias_correction"), py::arg("maximize"), release_gil(),
        "hyper: lr, beta1, beta2, eps, weight_decay.");
  m.def("rmsprop_step", &rmsprop, py::arg("arena"), py::arg("square_avg"), py::arg("grad_avg"),
        py::arg("momentum_buffer"), py::arg("maximize"), release_gil(),
        "hyper: lr, alpha, eps, weight_decay, momentum.");
  m.def("adagrad_step", &adagrad, py::arg("arena"), py::arg("sum"), py::arg("maximize"), release_gil(),
        "hyper: lr, lr_decay, eps, weight_decay.");
}

}  // namespace fastcnn
