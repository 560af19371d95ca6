#include "core/parallel.h"
#include "core/rng.h"
#include "ops/dropout/dropout.h"

namespace fastcnn {
namespace {
constexpr int64_t kGrain = 16384;  // a multiple of 16: chunks do not share words of the mask
}

void dropout_forward_reference(DropoutParameters parameters, const double* x, double* y, uint16_t* kept, int64_t n) {
  parallel_ranges(n, kGrain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += 16) {
      unsigned bits = 0;
      for (int64_t j = i; j < end && j < i + 16; ++j) {
        const PhiloxBlock block = philox(parameters.seed, parameters.block + uint64_t(j / 4));
        const bool keep = block.word[j % 4] >= parameters.threshold;
        bits |= unsigned(keep) << (j - i);
        y[j] = keep ? x[j] * parameters.scale : 0.0;
      }
      kept[i / 16] = uint16_t(bits);
    }
  });
}

void dropout_backward_reference(double scale, const uint16_t* kept, const double* grad_output, double* grad_input,
                                int64_t n) {
  parallel_ranges(n, kGrain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) grad_input[i] = kept[i / 16] >> (i % 16) & 1 ? grad_output[i] * scale : 0.0;
  });
}

}  // namespace fastcnn
