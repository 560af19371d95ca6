// Optimizer steps on flat arenas: the parameters of a group lie in one buffer, their gradients and states in buffers of
// the same shape, so that a step is one pass over memory, whatever the number of parameters.
//
// A step works on ranges of the arena. It is called with `segments`, an int64 tensor (n, 3) of {first element, number
// of elements, parameter index} of the parameters that have a gradient; neighbours with the same step count are merged.
// `steps` int64 (parameters,) counts the steps of every parameter (SGD: those with momentum, which needs to know the
// first one); `hyper` float64 holds the numbers of the group. Both
// are read when the kernel runs, so that a recorded step follows a changing learning rate.
//
// bfloat16 parameters are stepped through float32 masters: `params` holds the masters, `copy` what the model reads.
//
// Formulas are PyTorch's: g is the gradient (negated by `maximize`), epsilon stands outside the square root.
#pragma once
#include <stdint.h>

#include "core/dtype.h"
#include "core/isa.h"

namespace fastcnn {

// SGD (Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013):
//   d = g + weight_decay p;  buffer = first ? d : momentum buffer + (1 - dampening) d
//   p -= lr (nesterov ? d + momentum buffer : buffer), or lr d without momentum
template <class T>
struct SgdStep {
  T lr, momentum, dampening, weight_decay;
  bool nesterov, maximize;
  bool first;  // the buffer is not set yet
};

// Adam and AdamW (Kingma & Ba, ICLR 2015; Loshchilov & Hutter, ICLR 2019):
//   AdamW: p *= 1 - lr weight_decay;  Adam: g += weight_decay p
//   m += (1 - beta1) (g - m);  v = beta2 v + (1 - beta2) g g
//   p -= step_size m / (sqrt(v) / sqrt_correction + eps),  amsgrad: the largest v so far instead of v
// with step_size = lr / (1 - beta1^t) and sqrt_correction = sqrt(1 - beta2^t); both corrections can be switched off.
template <class T>
struct AdamStep {
  T step_size, sqrt_correction, beta1, beta2, eps;
  T shrink;        // AdamW: 1 - lr weight_decay; Adam: 1
  T weight_decay;  // Adam only
  bool maximize;
};

// RMSprop (Hinton, "Neural networks for machine learning", lecture 6e; centered: Graves, arXiv 1308.0850):
//   g += weight_decay p;  square = alpha square + (1 - alpha) g g;  centered: mean += (1 - alpha) (g - mean)
//   u = g / (sqrt(square [- mean mean]) + eps);  momentum: u = buffer = momentum buffer + u;  p -= lr u
template <class T>
struct RmspropStep {
  T lr, alpha, eps, weight_decay, momentum;
  bool maximize;
};

// Adagrad (Duchi et al., JMLR 12, 2011):
//   g += weight_decay p;  sum += g g;  p -= lr g / (sqrt(sum) + eps),  with lr already divided by 1 + (t - 1) lr_decay
template <class T>
struct AdagradStep {
  T lr, eps, weight_decay;
  bool maximize;
};

// n elements of parameters p and gradients g. Buffers not used by the options are null.
FASTCNN_DECLARE_CPU(void, sgd_step, const SgdStep<float>& s, float* p, const float* g, float* buffer, int64_t n)
FASTCNN_DECLARE_CPU(void, adam_step, const AdamStep<float>& s, float* p, const float* g, float* m, float* v,
                    float* v_max, int64_t n)
FASTCNN_DECLARE_CPU(void, rmsprop_step, const RmspropStep<float>& s, float* p, const float* g, float* square,
                    float* mean, float* buffer, int64_t n)
FASTCNN_DECLARE_CPU(void, adagrad_step, const AdagradStep<float>& s, float* p, const float* g, float* sum, int64_t n)

void sgd_step_reference(const SgdStep<double>& s, double* p, const double* g, double* buffer, int64_t n);
void adam_step_reference(const AdamStep<double>& s, double* p, const double* g, double* m, double* v, double* v_max,
                         int64_t n);
void rmsprop_step_reference(const RmspropStep<double>& s, double* p, const double* g, double* square, double* mean,
                            double* buffer, int64_t n);
void adagrad_step_reference(const AdagradStep<double>& s, double* p, const double* g, double* sum, int64_t n);

namespace cuda {

// An arena as one launch steps it. All but the numbers is device memory, addresses multiples of 16 bytes.
struct DeviceArena {
  float* params;
  const void* grads;  // of `grad_dtype`, float32 or bfloat16
  DType grad_dtype;
  bfloat16* copy;  // of the stepped parameters, or null
  int64_t* steps;
  const double* hyper;
  // {blocks that have read their step count: 0 between launches, then `blocks` rows {first element, elements,
  // parameter}, then the numbers of the `active` parameters}. A row's first element is a multiple of 8.
  int64_t* table;
  int64_t blocks, active;
};
constexpr int64_t kArenaBlock = 2048;  // most elements of a row

void sgd_step(const DeviceArena& arena, float* buffer, bool nesterov, bool maximize);
void adam_step(const DeviceArena& arena, float* m, float* v, float* v_max, bool decoupled_weight_decay,
               bool bias_correction, bool maximize);
void rmsprop_step(const DeviceArena& arena, float* square, float* mean, float* buffer, bool maximize);
void adagrad_step(const DeviceArena& arena, float* sum, bool maximize);

// masters[i] = copy[i] where copy[i] is not masters[i] rounded: somebody has written to the parameter.
void refresh_masters(float* masters, const bfloat16* copy, int64_t n);

}  // namespace cuda

}  // namespace fastcnn
