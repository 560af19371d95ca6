#include <cmath>
#include <cstring>

#define FASTCNN_ISA scalar  // the baseline build of the shared headers
#include "core/generator.h"
#include "core/parallel.h"
#include "core/rng_simd.h"
#include "ops/random/random.h"

namespace fastcnn {
namespace {

using scalar::simd::philox_words;

constexpr int64_t kGrain = 16384;
constexpr int64_t kBatch = 1024;  // words drawn at once
constexpr double kTwoPi = 6.28318530717958647692;

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

// Natural logarithm of a positive normal number: simd::log without its special cases, which would not be vectorised.
inline float log_normal_number(float x) {
  int32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  // Exponent and mantissa in [sqrt(1/2), sqrt(2)): subtract the bits of sqrt(1/2), as if it were 1.
  const int32_t shifted = bits - 0x3f3504f3;
  const int32_t exponent = shifted >> 23;
  const int32_t mantissa = bits - exponent * (1 << 23);
  float z;
  std::memcpy(&z, &mantissa, sizeof z);
  z -= 1.0f;
  float p = -7.634429634e-02f;
  p = p * z + 1.276154965e-01f;
  p = p * z - 1.316019446e-01f;
  p = p * z + 1.420176178e-01f;
  p = p * z - 1.662335694e-01f;
  p = p * z + 2.000122666e-01f;
  p = p * z - 2.500082254e-01f;
  p = p * z + 3.333333135e-01f;
  const float e = float(exponent), z2 = z * z;
  return p * z * z2 - 2.12194440e-4f * e - 0.5f * z2 + z + 0.693359375f * e;
}

// Sine and cosine of 2 pi v for v in [0, 1): Taylor polynomials on an eighth of the circle, then quadrants.
inline void sine_cosine(float v, float* sine, float* cosine) {
  const float turns = 4.0f * v;
  const int quadrant = int(turns + 0.5f);
  const float x = (turns - float(quadrant)) * 1.57079633f;
  const float x2 = x * x;
  const float s = x + x * x2 * (-1.66666667e-1f + x2 * (8.33333333e-3f + x2 * (-1.98412698e-4f + x2 * 2.75573192e-6f)));
  const float c =
      1.0f +
      x2 * (-0.5f + x2 * (4.16666667e-2f + x2 * (-1.38888889e-3f + x2 * (2.48015873e-5f - x2 * 2.75573192e-7f))));
  const float a = quadrant & 1 ? c : s, b = quadrant & 1 ? s : c;
  *sine = quadrant & 2 ? -a : a;
  *cosine = (quadrant + 1) & 2 ? -b : b;
}

double polynomial(const double* coefficients, int degree, double x) {
  double y = coefficients[degree];
  for (int i = degree - 1; i >= 0; --i) y = y * x + coefficients[i];
  return y;
}

// Inverse of the standard normal distribution function: M. J. Wichura, "Algorithm AS 241", Applied Statistics 37
// (1988).
double inverse_normal_cdf(double p) {
  constexpr double kA[] = {3.3871328727963666080e0,  1.3314166789178437745e+2, 1.9715909503065514427e+3,
                           1.3731693765509461125e+4, 4.5921953931549871457e+4, 6.7265770927008700853e+4,
                           3.3430575583588128105e+4, 2.5090809287301226727e+3};
  constexpr double kB[] = {1.0,
                           4.2313330701600911252e+1,
                           6.8718700749205790830e+2,
                           5.3941960214247511077e+3,
                           2.1213794301586595867e+4,
                           3.9307895800092710610e+4,
                           2.8729085735721942674e+4,
                           5.2264952788528545610e+3};
  constexpr double kC[] = {1.42343711074968357734e0,  4.63033784615654529590e0, 5.76949722146069140550e0,
                           3.64784832476320460504e0,  1.27045825245236838258e0, 2.41780725177450611770e-1,
                           2.27238449892691845833e-2, 7.74545014278341407640e-4};
  constexpr double kD[] = {1.0,
                           2.05319162663775882187e0,
                           1.67638483018380384940e0,
                           6.89767334985100004550e-1,
                           1.48103976427480074590e-1,
                           1.51986665636164571966e-2,
                           5.47593808499534494600e-4,
                           1.05075007164441684324e-9};
  constexpr double kE[] = {6.65790464350110377720e0,  5.46378491116411436990e0,  1.78482653991729133580e0,
                           2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
                           2.71155556874348757815e-5, 2.01033439929228813265e-7};
  constexpr double kF[] = {1.0,
                           5.99832206555887937690e-1,
                           1.36929880922735805310e-1,
                           1.48753612908506148525e-2,
                           7.86869131145613259100e-4,
                           1.84631831751005468180e-5,
                           1.42151175831644588870e-7,
                           2.04426310338993978564e-15};
  const double q = p - 0.5;
  if (std::fabs(q) <= 0.425) {
    const double r = 0.180625 - q * q;
    return q * polynomial(kA, 7, r) / polynomial(kB, 7, r);
  }
  double r = std::sqrt(-std::log(q < 0 ? p : 1.0 - p));
  const double x = r <= 5.0 ? polynomial(kC, 7, r - 1.6) / polynomial(kD, 7, r - 1.6)
                            : polynomial(kE, 7, r - 5.0) / polynomial(kF, 7, r - 5.0);
  return q < 0 ? -x : x;
}

template <class T>
void truncated_normal(RandomPosition position, double mean, double std, double low, double high, T* y, int64_t n) {
  const double below = 0.5 * std::erfc(-(low - mean) / std * 0.70710678118654752440);
  const double within = 0.5 * std::erfc(-(high - mean) / std * 0.70710678118654752440) - below;
  for_each_batch(position, n, 2, [=](const uint32_t* words, int64_t i, int64_t count) {
    for (int64_t j = 0; j < count; ++j) {
      const double value = mean + std * inverse_normal_cdf(below + uniform_at(words, j) * within);
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
      for (int k = 0; k < kPairs; ++k) {
        // (w + 1) / 2^24 in (0, 1]: the logarithm is finite.
        const float u = float(int32_t(words[j + 2 * k] >> 8) + 1) * 0x1p-24f;
        const float v = float(int32_t(words[j + 2 * k + 1] >> 8)) * 0x1p-24f;
        const float radius = std::sqrt(-2.0f * log_normal_number(u));
        float sine, cosine;
        sine_cosine(v, &sine, &cosine);
        first[k] = shift + scale * (radius * cosine);
        second[k] = shift + scale * (radius * sine);
      }
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
      const double radius = std::sqrt(-2.0 * std::log(uniform_at(words, j) + 0x1p-53));
      const double angle = kTwoPi * uniform_at(words, j + 1);
      y[i + j] = mean + std * (radius * std::cos(angle));
      if (j + 1 < count) y[i + j + 1] = mean + std * (radius * std::sin(angle));
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
