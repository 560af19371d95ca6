// nll_loss on CUDA: one thread per row gathers the log-probability of its label; sums in float64. A label out of range
// is reported to the host and counts nothing.
#include "ops/cross_entropy/loss_cuda.cuh"
#include "ops/nll_loss/nll_loss.h"

namespace fastcnn {
namespace cuda {
namespace {

struct RowLoss {
  Values x;
  const int64_t* labels;
  Values weight;
  int64_t classes, ignore_index;
  MutableValues loss;  // (rows,), or null
  DeviceReport* report;
  FASTCNN_DEVICE Sums<double> operator()(int64_t row) const {
    const int64_t label = labels[row];
    float value = 0.0f, w = 0.0f;
    if (label >= 0 && label < classes && label != ignore_index) {
      w = weight ? weight[label] : 1.0f;
      value = -w * x[row * classes + label];
    } else if (label != ignore_index) {
      report_bad_label(report, row, label, classes);
    }
    if (loss) loss.set(row, value);
    return {double(value), double(w)};
  }
};

// grad at the labels; the rest is 0 already.
__global__ void nll_loss_backward_kernel(NllRows rows, const int64_t* labels, Values weight, const float* divisor,
                                         Values g, MutableValues grad) {
  const int64_t row = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (row >= rows.rows) return;
  const int64_t label = labels[row];
  if (label == rows.ignore_index || label < 0 || label >= rows.classes) return;
  const float scale = rows.reduction == LossReduction::none  ? g[row]
                      : rows.reduction == LossReduction::sum ? g[0]
                                                             : g[0] / *divisor;
  grad.set(row * rows.classes + label, -scale * (weight ? weight[label] : 1.0f));
}

}  // namespace

int64_t nll_loss_workspace(const NllRows& rows) {
  return int64_t(sizeof(Sums<double>)) * grid_reduce_blocks(rows.rows);
}

void nll_loss_forward(const NllRows& rows, const Tensor& x, const Tensor& labels, const Tensor& weight,
                      const Tensor& loss, const Tensor& divisor, const Tensor& workspace) {
  const RowLoss of_row = {values_of(x),
                          labels.data<int64_t>(),
                          values_of(weight),
                          rows.classes,
                          rows.ignore_index,
                          rows.reduction == LossReduction::none ? mutable_values_of(loss) : MutableValues{},
                          report_pointer(x.device().index)};
  grid_reduce("nll_loss", of_row, AddSumsOp(), Sums<double>{0.0, 0.0},
              StoreLoss{mutable_values_of(loss), divisor.data<float>(), rows.reduction}, rows.rows,
              static_cast<Sums<double>*>(workspace.raw()));
}

void nll_loss_backward(const NllRows& rows, const Tensor& labels, const Tensor& weight, const Tensor& divisor,
                       const Tensor& g, const Tensor& grad) {
  if (!rows.rows) return;
  launch("nll_loss_backward", {rows.rows, rows.classes}, grid_for(rows.rows, 256), Block{256}, 0,
         &nll_loss_backward_kernel, rows, static_cast<const int64_t*>(labels.data<int64_t>()), values_of(weight),
         static_cast<const float*>(divisor.data<float>()), values_of(g), mutable_values_of(grad));
}

}  // namespace cuda
}  // namespace fastcnn
