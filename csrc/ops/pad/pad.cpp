#include "ops/pad/pad.h"

#include <algorithm>
#include <cstring>

#include "core/bind.h"
#include "core/cuda.h"
#include "core/parallel.h"
#include "core/stream.h"

namespace fastcnn {

namespace {

PadMode parse_mode(const std::string& mode) {
  if (mode == "constant") return PadMode::constant;
  if (mode == "reflect") return PadMode::reflect;
  if (mode == "replicate") return PadMode::replicate;
  check(mode == "circular", "pad: mode is '", mode, "', but expected 'constant', 'reflect', 'replicate' or 'circular'");
  return PadMode::circular;
}

// The dimensions in memory order, innermost last, with their index maps.
struct PadPlan {
  int rank = 0;
  std::vector<int64_t> map[kMaxRank];
  int64_t input_stride[kMaxRank] = {};
  bool inner_identity = false;  // the innermost dimension is copied whole
  bool outer_identity = false;  // slices of the outermost dimension do not share input elements
  int64_t rows = 1, row = 1;    // output elements outside and inside the innermost dimension
};

PadPlan make_plan(const Shape& input, const Shape& output, const Shape& before, PadMode mode, Layout layout) {
  PadPlan plan;
  plan.rank = std::max(input.rank(), 1);
  if (input.rank() == 0) {
    plan.map[0] = {0};
    plan.inner_identity = true;
    return plan;
  }
  int order[kMaxRank];
  for (int d = 0; d < plan.rank; ++d) order[d] = d;
  if (layout == Layout::channels_last && plan.rank >= 3) std::rotate(order + 1, order + 2, order + plan.rank);
  int64_t stride = 1;
  for (int i = plan.rank - 1; i >= 0; --i) {
    const int d = order[i];
    plan.map[i] = pad_map(input[d], before[d], output[d], mode);
    plan.input_stride[i] = stride;
    stride *= input[d];
    if (i < plan.rank - 1) plan.rows *= output[d];
  }
  const auto identity = [&](int i) { return before[order[i]] == 0 && output[order[i]] == input[order[i]]; };
  plan.row = output[order[plan.rank - 1]];
  plan.inner_identity = identity(plan.rank - 1);
  plan.outer_identity = plan.rank > 1 && identity(0);
  return plan;
}

cuda::PadDims cuda_dims(const Shape& input, const Shape& output, const Shape& before, PadMode mode, Layout layout) {
  cuda::PadDims dims;
  dims.mode = mode;
  const int rank = input.rank();
  for (int i = 0; i < rank; ++i) {
    const int d = layout == Layout::row_major || rank < 3 || i == 0 ? i : i == rank - 1 ? 1 : i + 1;
    dims.input[dims.rank] = input[d];
    dims.output[dims.rank] = output[d];
    dims.before[dims.rank++] = before[d];
  }
  const auto whole = [&](int i) { return dims.before[i] == 0 && dims.input[i] == dims.output[i]; };
  while (dims.rank > 0 && whole(dims.rank - 1)) dims.inner *= dims.input[--dims.rank];
  return dims;
}

// The bits of `value` as an element of `dtype`.
uint64_t bits_of(double value, DType dtype) {
  uint64_t bits = 0;
  const auto store = [&](auto element) { std::memcpy(&bits, &element, sizeof element); };
  switch (dtype) {
    case DType::float32:
      store(float(value));
      break;
    case DType::float64:
      store(value);
      break;
    case DType::bfloat16:
      store(to_bfloat16(float(value)));
      break;
    case DType::boolean:
      store(uint8_t(value != 0));
      break;
    default:
      store(int64_t(value));
  }
  return bits;
}

// body(output offset, input offset or -1) for the output rows [begin, end).
template <class Body>
void for_each_row(const PadPlan& plan, int64_t begin, int64_t end, const Body& body) {
  for (int64_t r = begin; r < end; ++r) {
    int64_t rest = r, offset = 0;
    for (int i = plan.rank - 2; i >= 0; --i) {
      const int64_t size = int64_t(plan.map[i].size());
      const int64_t source = plan.map[i][size_t(rest % size)];
      rest /= size;
      offset = source < 0 || offset < 0 ? -1 : offset + source * plan.input_stride[i];
    }
    body(r * plan.row, offset);
  }
}

template <class T>
void forward_kernel(const PadPlan& plan, const T* input, T value, T* output) {
  parallel_ranges(plan.rows, std::max<int64_t>(1, 16384 / std::max<int64_t>(plan.row, 1)),
                  [&](int64_t begin, int64_t end) {
                    const std::vector<int64_t>& map = plan.map[plan.rank - 1];
                    for_each_row(plan, begin, end, [&](int64_t to, int64_t from) {
                      if (from < 0) {
                        std::fill_n(output + to, plan.row, value);
                      } else if (plan.inner_identity) {
                        std::memcpy(output + to, input + from, size_t(plan.row) * sizeof(T));
                      } else {
                        for (int64_t i = 0; i < plan.row; ++i)
                          output[to + i] = map[size_t(i)] < 0 ? value : input[from + map[size_t(i)]];
                      }
                    });
                  });
}

// A chunk is a slice of the outermost dimension where slices are disjoint, so that additions never race.
template <class T>
void backward_kernel(const PadPlan& plan, const T* grad_output, T* grad_input, int64_t input_numel) {
  const int64_t chunks = plan.outer_identity ? int64_t(plan.map[0].size()) : 1;
  if (chunks == 0) return;
  const int64_t rows = plan.rows / chunks;
  parallel_for(chunks, [&](int64_t chunk) {
    const std::vector<int64_t>& map = plan.map[plan.rank - 1];
    std::fill_n(grad_input + chunk * (input_numel / chunks), input_numel / chunks, T(0));
    for_each_row(plan, chunk * rows, (chunk + 1) * rows, [&](int64_t from, int64_t to) {
      if (to < 0) return;
      if (plan.inner_identity) {
        for (int64_t i = 0; i < plan.row; ++i) grad_input[to + i] += grad_output[from + i];
        return;
      }
      for (int64_t i = 0; i < plan.row; ++i)
        if (map[size_t(i)] >= 0) grad_input[to + map[size_t(i)]] += grad_output[from + i];
    });
  });
}

template <class T>
void run_forward(const PadPlan& plan, const Tensor& input, T value, const Tensor& output) {
  forward_kernel(plan, static_cast<const T*>(input.raw()), value, static_cast<T*>(output.raw()));
}

Tensor pad_forward(const Tensor& input, const Shape& before, const Shape& after, const std::string& mode_name,
                   double value) {
  const PadMode mode = parse_mode(mode_name);
  const Shape shape = pad_shape(input.shape(), before, after, mode);
  const Tensor output = empty(shape, input.dtype(), input.device(), input.layout());
  if (output.numel() == 0) return output;
  const bool on_cuda = input.device().is_cuda();
  const PadPlan plan = on_cuda ? PadPlan() : make_plan(input.shape(), shape, before, mode, input.layout());
  const cuda::PadDims dims = cuda_dims(input.shape(), shape, before, mode, input.layout());
  current_stream(input.device()).run("pad_forward", [=] {
    FASTCNN_IF_CUDA(input)
    return cuda::pad_forward(dims, int(size_of(input.dtype())), input.raw(), bits_of(value, input.dtype()),
                             output.raw());
    switch (input.dtype()) {
      case DType::float32:
        return run_forward<float>(plan, input, float(value), output);
      case DType::float64:
        return run_forward<double>(plan, input, value, output);
      case DType::bfloat16:
        return run_forward<bfloat16>(plan, input, to_bfloat16(float(value)), output);
      case DType::int64:
        return run_forward<int64_t>(plan, input, int64_t(value), output);
      default:
        return run_forward<uint8_t>(plan, input, input.dtype() == DType::boolean ? value != 0 : uint8_t(int64_t(value)),
                                    output);
    }
  });
  return output;
}

Tensor pad_backward(const Tensor& any_grad_output, const Shape& input_shape, const Shape& before, const Shape& after,
                    const std::string& mode_name, const std::string& layout) {
  const PadMode mode = parse_mode(mode_name);
  const Shape shape = pad_shape(input_shape, before, after, mode);
  check_float("pad", "grad_output", any_grad_output);
  check(any_grad_output.shape() == shape, "pad: grad_output has shape ", any_grad_output.shape(), ", but expected ",
        shape);
  const Tensor grad_output =
      to_layout(any_grad_output, layout == "row_major" ? Layout::row_major : Layout::channels_last);
  const Tensor grad_input = empty(input_shape, grad_output.dtype(), grad_output.device(), grad_output.layout());
  if (grad_input.numel() == 0) return grad_input;
  if (grad_output.numel() == 0) {
    zero_(grad_input);
    return grad_input;
  }
  const bool on_cuda = grad_output.device().is_cuda();
  const PadPlan plan = on_cuda ? PadPlan() : make_plan(input_shape, shape, before, mode, grad_output.layout());
  const cuda::PadDims dims = cuda_dims(input_shape, shape, before, mode, grad_output.layout());
  current_stream(grad_output.device()).run("pad_backward", [=] {
    FASTCNN_IF_CUDA(grad_output)
    return cuda::pad_backward(dims, grad_output.dtype(), grad_output.raw(), grad_input.raw());
    if (grad_output.dtype() == DType::float64) {
      backward_kernel(plan, grad_output.data<double>(), grad_input.data<double>(), grad_input.numel());
    } else {
      backward_kernel(plan, grad_output.data<float>(), grad_input.data<float>(), grad_input.numel());
    }
  });
  return grad_input;
}

}  // namespace

Shape pad_shape(const Shape& input, const Shape& before, const Shape& after, PadMode mode) {
  check(before.rank() == input.rank() && after.rank() == input.rank(), "pad: amounts for ", before.rank(),
        " dimensions, but the input has ", input.rank(), " (input ", input, ")");
  Shape output = input;
  for (int d = 0; d < input.rank(); ++d) {
    const int64_t size = input[d];
    output[d] = checked_add(checked_add(size, before[d]), after[d]);
    check(output[d] >= 0, "pad: cropping ", -before[d], " + ", -after[d], " from dimension ", d,
          " leaves nothing of it (input ", input, ")");
    if (mode == PadMode::constant || (before[d] == 0 && after[d] == 0)) continue;
    const int64_t largest = std::max(before[d], after[d]);
    const int64_t limit = mode == PadMode::reflect ? size - 1 : size;
    check(size > 0, "pad: dimension ", d, " is empty and has nothing to repeat (input ", input, ")");
    check(mode == PadMode::replicate || largest <= limit, "pad: amount ", largest, " of dimension ", d,
          " is larger than ", limit, ", the most that ", mode == PadMode::reflect ? "'reflect'" : "'circular'",
          " can take from a size of ", size, " (input ", input, "); use a smaller amount or mode='replicate'");
  }
  output.numel();  // throws on overflow
  return output;
}

std::vector<int64_t> pad_map(int64_t size, int64_t before, int64_t output_size, PadMode mode) {
  std::vector<int64_t> map(size_t(output_size), 0);
  for (int64_t i = 0; i < output_size; ++i) {
    int64_t source = i - before;
    if (source < 0 || source >= size) {
      switch (mode) {
        case PadMode::constant:
          source = -1;
          break;
        case PadMode::reflect:
          source = source < 0 ? -source : 2 * (size - 1) - source;
          break;
        case PadMode::replicate:
          source = source < 0 ? 0 : size - 1;
          break;
        case PadMode::circular:
          source = source < 0 ? source + size : source - size;
          break;
      }
    }
    map[size_t(i)] = source;
  }
  return map;
}

void bind_pad(py::module_& m) {
  m.def("pad_forward", &pad_forward, py::arg("input"), py::arg("before"), py::arg("after"), py::arg("mode"),
        py::arg("value") = 0.0, release_gil(), "input with before[d] and after[d] elements added to dimension d.");
  m.def("pad_backward", &pad_backward, py::arg("grad_output"), py::arg("input_shape"), py::arg("before"),
        py::arg("after"), py::arg("mode"), py::arg("layout"), release_gil(),
        "Gradient of pad_forward with respect to an input of `layout`.");
}

}  // namespace fastcnn
