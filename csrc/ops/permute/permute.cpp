#include "ops/permute/permute.h"

#include "core/bind.h"
#include "ops/copy_strided/strided.h"

namespace fastcnn {

std::vector<int> permute_dims(const Shape& input, const std::vector<int64_t>& dims) {
  check(int(dims.size()) == input.rank(), "permute: dims has ", dims.size(), " entries, but input ", input, " has ",
        input.rank(), " dimensions");
  std::vector<int> order;
  unsigned seen = 0;
  for (const int64_t dim : dims) {
    const int d = normalize_dim("permute", dim, input.rank());
    check(!(seen >> d & 1u), "permute: dims names dimension ", d, " twice, but expected a permutation of 0 to ",
          input.rank() - 1, " (input ", input, ")");
    seen |= 1u << d;
    order.push_back(d);
  }
  return order;
}

Tensor permute(const Tensor& input, const std::vector<int64_t>& dims, Layout layout) {
  Window window{input, 0, input.shape(), input.shape()};
  const Shape strides = input.strides();
  const std::vector<int> order = permute_dims(input.shape(), dims);
  for (int d = 0; d < input.rank(); ++d) {
    window.size[d] = input.size(order[size_t(d)]);
    window.stride[d] = strides[order[size_t(d)]];
  }
  return dense("permute", window, layout);
}

void bind_permute(py::module_& m) {
  m.def(
      "permute",
      [](const Tensor& input, const std::vector<int64_t>& dims, std::optional<Layout> layout) {
        return permute(input, dims, layout.value_or(layout_like(input, input.rank())));
      },
      py::arg("input"), py::arg("dims"), py::arg("layout") = py::none(), release_gil(),
      "Dimensions reordered; shares memory where the element order already agrees.");
}

}  // namespace fastcnn
