#include "ops/cross_entropy/targets.h"

#include <algorithm>

#include "core/stream.h"
#include "ops/cast/cast.h"

namespace fastcnn {

ClassRows class_rows(const char* op, const Tensor& input) {
  check_float(op, "input", input);
  check(input.rank() >= 1, op, ": input is a single number, but logits (N, C), (N, C, d1, ...) or (C,) are expected");
  const int64_t classes = input.size(input.rank() == 1 ? 0 : 1);
  check(classes > 0, op, ": input ", input.shape(), " has no classes");
  return {to_layout(input, Layout::channels_last), input.numel() / classes, classes};
}

Tensor class_labels(const char* op, const Tensor& input, const Tensor& target) {
  check_type(target.dtype() == DType::int64 || target.dtype() == DType::uint8, op, ": target is ", target.dtype(),
             ", but class labels of dtype int64 are expected",
             is_floating(target.dtype()) ? " (or probabilities of the input's shape and dtype)" : "",
             "; convert them with target.long()");
  check(target.device() == input.device(), op, ": input is on ", input.device(), ", but target is on ",
        target.device());
  Shape expected;
  for (int d = 0; d < input.rank(); ++d)
    if (d != (input.rank() == 1 ? 0 : 1)) expected.push_back(input.size(d));
  const char* hint = "";
  if (target.shape() == input.shape())
    hint = "; is it one-hot? Pass target.argmax(1), or target.float() as probabilities";
  else if (target.rank() == input.rank() && target.numel() == expected.numel())
    hint = "; did you mean target.squeeze(1)?";
  check(target.shape() == expected, op, ": target has shape ", target.shape(), ", but labels of shape ", expected,
        " are expected (input ", input.shape(), ")", hint);
  return cast(to_layout(target, Layout::row_major), DType::int64);
}

void check_class_weight(const char* op, const Tensor& input, const Tensor& weight) {
  if (!weight.defined()) return;
  const int64_t classes = input.size(input.rank() == 1 ? 0 : 1);
  if (input.dtype() != DType::bfloat16 || weight.dtype() != DType::float32 || weight.device() != input.device())
    check_same(op, "input", input, "weight", weight);
  check(weight.rank() == 1 && weight.size(0) == classes, op, ": weight has shape ", weight.shape(), ", but (", classes,
        ",) is expected, one number per class (input ", input.shape(), ")");
}

void fail_label(const char* op, const Tensor& input, const Tensor& labels, int64_t row, int64_t ignore_index) {
  const int64_t* const label = labels.data<int64_t>();
  const int64_t classes = input.size(input.rank() == 1 ? 0 : 1);
  Shape index;
  int64_t rest = row;
  for (int d = labels.rank() - 1; d >= 0; rest /= labels.size(d--)) {
    Shape longer{rest % labels.size(d)};
    for (int64_t i : index) longer.push_back(i);
    index = longer;
  }
  int64_t smallest = label[row], largest = label[row];
  for (int64_t i = 0; i < labels.numel(); ++i) {
    if (label[i] == ignore_index) continue;
    smallest = std::min(smallest, label[i]);
    largest = std::max(largest, label[i]);
  }
  std::string where = "target";
  for (int d = 0; d < index.rank(); ++d) where += concat(d ? ", " : "[", index[d]);
  if (index.rank()) where += "]";
  const bool one_based = smallest == 1 && largest == classes && labels.numel() > 1;
  fail(op, ": ", where, " is ", label[row], ", but labels from 0 to ", classes - 1, " (or ignore_index=", ignore_index,
       ") are expected for ", classes, " classes (input ", input.shape(), ")",
       one_based ? concat("; the labels run from 1 to ", classes, ": subtract 1, they must start at 0") : std::string(),
       !one_based && label[row] == -1 ? "; to skip samples labelled -1 pass ignore_index=-1" : "");
}

}  // namespace fastcnn
