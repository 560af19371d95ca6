#include "ops/optimizer/optimizer.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/bind.h"
#include "core/cuda.h"
#include "core/parallel.h"
#include "core/stream.h"
#include "ops/cast/cast.h"

namespace fastcnn {
namespace {

constexpr const char* kArena = "OptimizerArena";

// The buffers of one arena, all of one shape (elements,) on one device: float32 or, on the CPU, float64 params, grads
// of that dtype, steps, segments and hyper. With `copy`, bfloat16: params are its masters, and grads may be bfloat16.
struct Arena {
  Tensor params, grads, steps, segments, hyper, copy;
  Tensor table;  // on CUDA: see cuda::DeviceArena
  int64_t blocks = 0;

  Arena(const Tensor& arena_params, const Tensor& arena_grads, const Tensor& arena_steps, const Tensor& host_segments,
        const Tensor& arena_hyper, const OptionalTensor& arena_copy);
  int64_t active() const { return segments.size(0); }
};

bool is_packed(const Tensor& tensor) { return reinterpret_cast<uintptr_t>(tensor.raw()) % 16 == 0; }

// The segments in rows of at most kArenaBlock elements, on the arena's device.
Tensor device_table(const Arena& arena, int64_t* blocks) {
  const int64_t* const rows = arena.segments.data<int64_t>();
  std::vector<int64_t> table{0};
  for (int64_t i = 0; i < arena.active(); ++i) {
    check(rows[3 * i] % 8 == 0, kArena, ": segment ", i, " starts at element ", rows[3 * i],
          ", but a multiple of 8 is expected on ", arena.params.device());
    for (int64_t done = 0; done < rows[3 * i + 1]; done += cuda::kArenaBlock)
      table.insert(table.end(),
                   {rows[3 * i] + done, std::min(cuda::kArenaBlock, rows[3 * i + 1] - done), rows[3 * i + 2]});
  }
  *blocks = int64_t(table.size()) / 3;
  for (int64_t i = 0; i < arena.active(); ++i) table.push_back(rows[3 * i + 2]);
  const Tensor host = empty({int64_t(table.size())}, DType::int64),
               device = empty(host.shape(), DType::int64, arena.params.device());
  std::copy(table.begin(), table.end(), host.data<int64_t>());
  write_(device, host);
  return device;
}

Arena::Arena(const Tensor& arena_params, const Tensor& arena_grads, const Tensor& arena_steps,
             const Tensor& host_segments, const Tensor& arena_hyper, const OptionalTensor& arena_copy)
    : params(arena_params),
      grads(arena_grads),
      steps(arena_steps),
      segments(host_segments),
      hyper(arena_hyper),
      copy(value_or_undefined(arena_copy)) {
  const bool mixed = grads.dtype() == DType::bfloat16 && params.dtype() == DType::float32 && copy.defined();
  if (!mixed) check_same(kArena, "params", params, "grads", grads);
  check_type(params.dtype() == DType::float32 || (params.dtype() == DType::float64 && !params.device().is_cuda()),
             kArena, ": params is ", params.dtype(), " on ", params.device(),
             ", but float32 is expected, or float64 on the CPU");
  check(params.rank() == 1 && grads.shape() == params.shape(), kArena, ": params ", params.shape(), " and grads ",
        grads.shape(), " must be flat and of one size");
  check_type(steps.dtype() == DType::int64 && segments.dtype() == DType::int64 && hyper.dtype() == DType::float64,
             kArena, ": steps and segments must be int64, hyper float64");
  check(!segments.device().is_cuda() && steps.device() == params.device() && hyper.device() == params.device() &&
            grads.device() == params.device(),
        kArena, ": grads, steps and hyper must be on ", params.device(), " like params, and segments on the CPU");
  check(segments.rank() == 2 && segments.size(1) == 3, kArena, ": segments has shape ", segments.shape(),
        ", but (n, 3) is expected");
  if (copy.defined())
    check_type(copy.dtype() == DType::bfloat16 && params.dtype() == DType::float32 && copy.shape() == params.shape() &&
                   copy.device() == params.device(),
               kArena, ": copy must be bfloat16 and have the shape and device of the float32 params");
  const int64_t* const rows = segments.data<int64_t>();
  for (int64_t i = 0; i < segments.size(0); ++i)
    check(rows[3 * i] >= 0 && rows[3 * i + 1] >= 0 && rows[3 * i + 1] <= params.numel() - rows[3 * i] &&
              rows[3 * i + 2] >= 0 && rows[3 * i + 2] < steps.numel(),
          kArena, ": segment ", i, " lies outside the arena");
  if (!params.device().is_cuda()) return;
  check(is_packed(params) && is_packed(grads) && (!copy.defined() || is_packed(copy)), kArena,
        ": buffers must start at a multiple of 16 bytes");
  table = device_table(*this, &blocks);
}

void check_arena(const char* op, const Arena& arena, std::initializer_list<OptionalTensor> states, int hyper) {
  check(arena.hyper.numel() >= hyper, op, ": hyper has ", arena.hyper.numel(), " numbers, but ", hyper,
        " are expected");
  for (const OptionalTensor& state : states) {
    if (!state) continue;
    check_same(op, "params", arena.params, "state", *state);
    check(state->shape() == arena.params.shape(), op, ": a state has shape ", state->shape(), ", but ",
          arena.params.shape(), " is expected");
    check(!state->device().is_cuda() || is_packed(*state), op, ": a state must start at a multiple of 16 bytes");
    state->bump_version();
  }
  arena.params.bump_version();
  if (arena.copy.defined()) arena.copy.bump_version();
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

// The gradients in the dtype of the arithmetic.
Tensor wide_grads(const Arena& arena) {
  if (arena.grads.dtype() == arena.params.dtype()) return arena.grads;
  const Tensor wide = empty(arena.grads.shape(), arena.params.dtype(), Device{});
  FASTCNN_CPU(cast_forward)(arena.grads.dtype(), arena.grads.raw(), wide.dtype(), wide.raw(), wide.numel());
  return wide;
}

// Runs launch(device arena) on CUDA, else body(range, gradients, float() or double()) for every range, when the stream
// reaches the call.
template <class Launch, class Body>
void run(const char* name, const Arena& arena, bool counted, const Launch& launch, const Body& body) {
  current_stream(arena.params.device()).run(name, [arena, counted, launch, body] {
    FASTCNN_IF_CUDA(arena.params) {
      return launch(cuda::DeviceArena{arena.params.data<float>(), arena.grads.raw(), arena.grads.dtype(),
                                      arena.copy.defined() ? arena.copy.data<bfloat16>() : nullptr,
                                      arena.steps.data<int64_t>(), arena.hyper.data<double>(),
                                      arena.table.data<int64_t>(), arena.blocks, arena.active()});
    }
    const Tensor grads = wide_grads(arena);
    for (const Range& range : advance(arena, counted)) {
      arena.params.dtype() == DType::float32 ? body(range, grads, float()) : body(range, grads, double());
      if (arena.copy.defined()) FASTCNN_CPU(cast_forward)
      (DType::float32, arena.params.data<float>() + range.begin, DType::bfloat16,
       arena.copy.data<bfloat16>() + range.begin, range.end - range.begin);
    }
  });
}

template <class T>
T* at(const Tensor& buffer, int64_t begin) {
  return buffer.defined() ? buffer.data<T>() + begin : nullptr;
}

void sgd(const Arena& arena, const OptionalTensor& momentum_buffer, bool nesterov, bool maximize) {
  check_arena("sgd", arena, {momentum_buffer}, 4);
  const Tensor buffer = value_or_undefined(momentum_buffer);
  const auto launch = [=](const cuda::DeviceArena& device) {
    if constexpr (cuda::kBuilt) cuda::sgd_step(device, at<float>(buffer, 0), nesterov, maximize);
  };
  run("sgd", arena, buffer.defined(), launch, [=](Range r, const Tensor& grads, auto zero) {
    using T = decltype(zero);
    const double* const h = arena.hyper.data<double>();
    const SgdStep<T> s{T(h[0]), T(h[1]), T(h[2]), T(h[3]), nesterov, maximize, r.step == 1};
    T *const p = at<T>(arena.params, r.begin), *const g = at<T>(grads, r.begin);
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
  const auto launch = [=](const cuda::DeviceArena& device) {
    if constexpr (cuda::kBuilt)
      cuda::adam_step(device, at<float>(exp_avg, 0), at<float>(exp_avg_sq, 0), at<float>(largest, 0),
                      decoupled_weight_decay, bias_correction, maximize);
  };
  run("adam", arena, true, launch, [=](Range r, const Tensor& grads, auto zero) {
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
    T *const p = at<T>(arena.params, r.begin), *const g = at<T>(grads, r.begin);
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
  const auto launch = [=](const cuda::DeviceArena& device) {
    if constexpr (cuda::kBuilt)
      cuda::rmsprop_step(device, at<float>(square_avg, 0), at<float>(mean, 0), at<float>(buffer, 0), maximize);
  };
  run("rmsprop", arena, true, launch, [=](Range r, const Tensor& grads, auto zero) {
    using T = decltype(zero);
    const double* const h = arena.hyper.data<double>();
    const RmspropStep<T> s{T(h[0]), T(h[1]), T(h[2]), T(h[3]), T(h[4]), maximize};
    T *const p = at<T>(arena.params, r.begin), *const g = at<T>(grads, r.begin);
    T *const square = at<T>(square_avg, r.begin), *const average = at<T>(mean, r.begin);
    if constexpr (sizeof(T) == 4)
      FASTCNN_CPU(rmsprop_step)(s, p, g, square, average, at<T>(buffer, r.begin), r.end - r.begin);
    else
      rmsprop_step_reference(s, p, g, square, average, at<T>(buffer, r.begin), r.end - r.begin);
  });
}

void adagrad(const Arena& arena, const Tensor& sum, bool maximize) {
  check_arena("adagrad", arena, {sum}, 4);
  const auto launch = [=](const cuda::DeviceArena& device) {
    if constexpr (cuda::kBuilt) cuda::adagrad_step(device, at<float>(sum, 0), maximize);
  };
  run("adagrad", arena, true, launch, [=](Range r, const Tensor& grads, auto zero) {
    using T = decltype(zero);
    const double* const h = arena.hyper.data<double>();  // lr, lr_decay, eps, weight_decay
    const AdagradStep<T> s{T(h[0] / (1.0 + double(r.step - 1) * h[1])), T(h[2]), T(h[3]), maximize};
    T *const p = at<T>(arena.params, r.begin), *const g = at<T>(grads, r.begin);
    if constexpr (sizeof(T) == 4)
      FASTCNN_CPU(adagrad_step)(s, p, g, at<T>(sum, r.begin), r.end - r.begin);
    else
      adagrad_step_reference(s, p, g, at<T>(sum, r.begin), r.end - r.begin);
  });
}

constexpr int64_t kGrain = 1 << 16;

void refresh_masters(const Tensor& masters, const Tensor& copy) {
  check_type(masters.dtype() == DType::float32 && copy.dtype() == DType::bfloat16, "refresh_masters: masters is ",
             masters.dtype(), " and copy ", copy.dtype(), ", but float32 and bfloat16 are expected");
  check(masters.shape() == copy.shape() && masters.device() == copy.device(), "refresh_masters: masters is ",
        masters.shape(), " on ", masters.device(), ", but copy is ", copy.shape(), " on ", copy.device());
  check(!masters.device().is_cuda() || (is_packed(masters) && is_packed(copy)),
        "refresh_masters: buffers must start at a multiple of 16 bytes");
  masters.bump_version();
  current_stream(masters.device()).run("refresh_masters", [=] {
    float* const master = masters.data<float>();
    const bfloat16* const model = copy.data<bfloat16>();
    FASTCNN_IF_CUDA(masters) return cuda::refresh_masters(master, model, masters.numel());
    parallel_ranges(masters.numel(), kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        if (to_bfloat16(master[i]).bits != model[i].bits) master[i] = to_float(model[i]);
    });
  });
}

}  // namespace

void bind_optimizer(py::module_& m) {
  py::class_<Arena>(m, "OptimizerArena",
                    "Flat buffers of parameters: params, grads, steps, hyper on their device; "
                    "copy: the bfloat16 parameters whose float32 masters params are.")
      .def(py::init<const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&, const OptionalTensor&>(),
           py::arg("params"), py::arg("grads"), py::arg("steps"), py::arg("segments"), py::arg("hyper"),
           py::arg("copy") = py::none());
  m.def("refresh_masters", &refresh_masters, py::arg("masters"), py::arg("copy"), release_gil(),
        "masters[i] = copy[i] where copy[i] is not masters[i] rounded to bfloat16: after writes to parameters.");
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
