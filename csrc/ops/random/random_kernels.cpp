#include <cmath>

#define FASTCNN_ISA scalar  // the baseline build of the shared headers
#include "core/generator.h"
#include "core/parallel.h"
#include "core/rng_simd.h"
#include "ops/random/random.h"
#include "ops/random/random_math.h"

namespace fastcnn {
namespace {

using scalar::simd::philox_words;

constexpr int64_t kGrain = 16384;
constexpr int64_t kBatch = 1024;  // words drawn at once

// Calls use(words, i, count) for runs of elements [i, i + count) with `per_element` words each.
template <class Use>
void for_each_batch(RandomPosition position, int64_t n, int64_t per_element, const Use& use) {
  const int64_t batch = kBatch / per_element;
  parallel_ranges(n, kGrain, [&](int64_t begin, int64_t end) {
    uint32_t words[kBatch];
    for (int64_t i = begin; i < end; i += batch) {
      const int64_t count = end - i < batch ? end - i : batch;
      philox_words(position.seed, position.block + uint64_t(i * per_element / 4), blocks_of_words(count * per_element),
                   words);
      use(words, i, count);
    }
  });
}

double uniform_at(const uint32_t* words, int64_t j) { return uniform_double(words[2 * j], words[2 * j + 1]); }

template <class T>
void truncated_normal(RandomPosition position, double mean, double std, double low, double high, T* y, int64_t n) {
  const double below = 0.5 * std::erfc(-(low - mean) / std * 0.70710678118654752440);
  const double within = 0.5 * std::erfc(-(high - mean) / std * 0.70710678118654752440) - below;
  for_each_batch(position, n, 2, [=](const uint32_t* words, int64_t i, int64_t count) {
    for (int64_t j = 0; j < count; ++j) {
      const double value = mean + std * random_math::inverse_normal_cdf(below + uniform_at(words, j) * within);
      y[i + j] = T(value < low ? low : value > high ? high : value);
    }
  });
}

}  // namespace

void draw_uniform(RandomPosition position, double low, double high, float* y, int64_t n) {
  const float start = float(low), range = float(high - low), last = std::nextafter(float(high), start);
  for_each_batch(position, n, 1, [=](const uint32_t* words, int64_t i, int64_t count) {
    for (int64_t j = 0; j < count; ++j) {
      const float value = start + float(int32_t(words[j] >> 8)) * 0x1p-24f * range;
      y[i + j] = value > last ? last : value;  // rounding must not reach the open end
    }
  });
}

void draw_uniform(RandomPosition position, double low, double high, double* y, int64_t n) {
  const double last = std::nextafter(high, low);
  for_each_batch(position, n, 2, [=](const uint32_t* words, int64_t i, int64_t count) {
    for (int64_t j = 0; j < count; ++j) {
      const double value = low + uniform_at(words, j) * (high - low);
      y[i + j] = value > last ? last : value;
    }
  });
}

void draw_normal(RandomPosition position, double mean, double std, float* y, int64_t n) {
  const float shift = float(mean), scale = float(std);
  for_each_batch(position, n, 1, [=](const uint32_t* words, int64_t i, int64_t count) {
    constexpr int kPairs = 16;  // in lockstep, so that the compiler vectorises
    float value[kBatch];
    for (int64_t j = 0; j < count; j += 2 * kPairs) {
      float first[kPairs], second[kPairs];
      for (int k = 0; k < kPairs; ++k)
        random_math::normal_pair<float>(words[j + 2 * k], words[j + 2 * k + 1], shift, scale, &first[k], &second[k]);
      for (int k = 0; k < kPairs; ++k) {
        value[j + 2 * k] = first[k];
        value[j + 2 * k + 1] = second[k];
      }
    }
    for (int64_t j = 0; j < count; ++j) y[i + j] = value[j];
  });
}

void draw_normal(RandomPosition position, double mean, double std, double* y, int64_t n) {
  for_each_batch(position, n, 2, [=](const uint32_t* words, int64_t i, int64_t count) {
    for (int64_t j = 0; j < count; j += 2) {
      double second;
      random_math::normal_pair(uniform_at(words, j), uniform_at(words, j + 1), mean, std, &y[i + j], &second);
      if (j + 1 < count) y[i + j + 1] = second;
    }
  });
}

void draw_truncated_normal(RandomPosition position, double mean, double std, double low, double high, float* y,
                           int64_t n) {
  truncated_normal(position, mean, std, low, high, y, n);
}

void draw_truncated_normal(RandomPosition position, double mean, double std, double low, double high, double* y,
                           int64_t n) {
  truncated_normal(position, mean, std, low, high, y, n);
}

void draw_bernoulli(RandomPosition position, const float* p, float* y, int64_t n) {
  for_each_batch(position, n, 1, [=](const uint32_t* words, int64_t i, int64_t count) {
    for (int64_t j = 0; j < count; ++j) y[i + j] = uniform_float(words[j]) < p[i + j] ? 1.0f : 0.0f;
  });
}

void draw_bernoulli(RandomPosition position, const double* p, double* y, int64_t n) {
  for_each_batch(position, n, 2, [=](const uint32_t* words, int64_t i, int64_t count) {
    for (int64_t j = 0; j < count; ++j) y[i + j] = uniform_at(words, j) < p[i + j] ? 1.0 : 0.0;
  });
}

void draw_integers(RandomPosition position, int64_t low, int64_t high, int64_t* y, int64_t n) {
  const uint64_t range = uint64_t(high) - uint64_t(low);
  for_each_batch(position, n, 2, [=](const uint32_t* words, int64_t i, int64_t count) {
    for (int64_t j = 0; j < count; ++j) {
      const uint64_t bits = uint64_t(words[2 * j]) << 32 | words[2 * j + 1];
      y[i + j] = int64_t(uint64_t(low) + uint64_t((unsigned __int128)bits * range >> 64));
    }
  });
}

void draw_permutation(RandomPosition position, int64_t* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = i;
  for (int64_t i = n - 1; i > 0; --i) {
    const PhiloxBlock block = philox(position.seed, position.block + uint64_t(i / 2));
    const uint32_t* const words = block.word + 2 * (i % 2);
    const uint64_t bits = uint64_t(words[0]) << 32 | words[1];
    const int64_t j = int64_t((unsigned __int128)bits * uint64_t(i + 1) >> 64);
    const int64_t kept = y[i];
    y[i] = y[j];
    y[j] = kept;
  }
}

}  // namespace fastcnn
