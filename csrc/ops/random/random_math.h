// Formulas behind the distributions, for CPU and GPU. Float is float, or a type that computes like float but is never
// contracted to fused multiply-adds: then every machine draws the same bits.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#include "core/rng.h"

namespace fastcnn {
namespace random_math {

// Natural logarithm of a positive normal number.
template <class Float>
inline FASTCNN_HOST_DEVICE Float log_normal_number(float x) {
  int32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  // Exponent and mantissa in [sqrt(1/2), sqrt(2)): subtract the bits of sqrt(1/2), as if it were 1.
  const int32_t shifted = bits - 0x3f3504f3;
  const int32_t exponent = shifted >> 23;
  const int32_t mantissa = bits - exponent * (1 << 23);
  float fraction;
  std::memcpy(&fraction, &mantissa, sizeof fraction);
  const Float z = Float(fraction) - Float(1.0f);
  Float p = Float(-7.634429634e-02f);
  p = p * z + Float(1.276154965e-01f);
  p = p * z - Float(1.316019446e-01f);
  p = p * z + Float(1.420176178e-01f);
  p = p * z - Float(1.662335694e-01f);
  p = p * z + Float(2.000122666e-01f);
  p = p * z - Float(2.500082254e-01f);
  p = p * z + Float(3.333333135e-01f);
  const Float e = Float(float(exponent)), z2 = z * z;
  return p * z * z2 - Float(2.12194440e-4f) * e - Float(0.5f) * z2 + z + Float(0.693359375f) * e;
}

// Sine and cosine of 2 pi v for v in [0, 1): Taylor polynomials on an eighth of the circle, then quadrants.
template <class Float>
inline FASTCNN_HOST_DEVICE void sine_cosine(float v, float* sine, float* cosine) {
  const float turns = 4.0f * v;
  const int quadrant = int(turns + 0.5f);
  const Float x = Float(turns - float(quadrant)) * Float(1.57079633f);
  const Float x2 = x * x;
  const Float s = x + x * x2 *
                          (Float(-1.66666667e-1f) +
                           x2 * (Float(8.33333333e-3f) + x2 * (Float(-1.98412698e-4f) + x2 * Float(2.75573192e-6f))));
  const Float c =
      Float(1.0f) + x2 * (Float(-0.5f) + x2 * (Float(4.16666667e-2f) +
                                               x2 * (Float(-1.38888889e-3f) +
                                                     x2 * (Float(2.48015873e-5f) - x2 * Float(2.75573192e-7f)))));
  const float a = float(quadrant & 1 ? c : s), b = float(quadrant & 1 ? s : c);
  *sine = quadrant & 2 ? -a : a;
  *cosine = (quadrant + 1) & 2 ? -b : b;
}

// Two normal numbers from two words (Box & Muller 1958). (w + 1) / 2^24 in (0, 1]: the logarithm is finite.
template <class Float>
inline FASTCNN_HOST_DEVICE void normal_pair(uint32_t first, uint32_t second, float mean, float std, float* y0,
                                            float* y1) {
  const float u = float(int32_t(first >> 8) + 1) * 0x1p-24f;
  const float v = float(int32_t(second >> 8)) * 0x1p-24f;
  const float radius = std::sqrt(float(Float(-2.0f) * log_normal_number<Float>(u)));
  float sine, cosine;
  sine_cosine<Float>(v, &sine, &cosine);
  *y0 = float(Float(mean) + Float(std) * (Float(radius) * Float(cosine)));
  *y1 = float(Float(mean) + Float(std) * (Float(radius) * Float(sine)));
}

inline FASTCNN_HOST_DEVICE void normal_pair(double first, double second, double mean, double std, double* y0,
                                            double* y1) {
  const double radius = std::sqrt(-2.0 * std::log(first + 0x1p-53));
  const double angle = 6.28318530717958647692 * second;
  *y0 = mean + std * (radius * std::cos(angle));
  *y1 = mean + std * (radius * std::sin(angle));
}

// c + x (rest...).
inline FASTCNN_HOST_DEVICE double polynomial(double, double c) { return c; }
template <class... Rest>
inline FASTCNN_HOST_DEVICE double polynomial(double x, double c, Rest... rest) {
  return c + x * polynomial(x, rest...);
}

// Inverse of the standard normal distribution function: M. J. Wichura, "Algorithm AS 241", Applied Statistics 37
// (1988).
inline FASTCNN_HOST_DEVICE double inverse_normal_cdf(double p) {
  const double q = p - 0.5;
  if (std::fabs(q) <= 0.425) {
    const double r = 0.180625 - q * q;
    return q *
           polynomial(r, 3.3871328727963666080e0, 1.3314166789178437745e+2, 1.9715909503065514427e+3,
                      1.3731693765509461125e+4, 4.5921953931549871457e+4, 6.7265770927008700853e+4,
                      3.3430575583588128105e+4, 2.5090809287301226727e+3) /
           polynomial(r, 1.0, 4.2313330701600911252e+1, 6.8718700749205790830e+2, 5.3941960214247511077e+3,
                      2.1213794301586595867e+4, 3.9307895800092710610e+4, 2.8729085735721942674e+4,
                      5.2264952788528545610e+3);
  }
  double r = std::sqrt(-std::log(q < 0 ? p : 1.0 - p));
  double x;
  if (r <= 5.0) {
    r -= 1.6;
    x = polynomial(r, 1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0,
                   3.64784832476320460504e0, 1.27045825245236838258e0, 2.41780725177450611770e-1,
                   2.27238449892691845833e-2, 7.74545014278341407640e-4) /
        polynomial(r, 1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
                   1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4,
                   1.05075007164441684324e-9);
  } else {
    r -= 5.0;
    x = polynomial(r, 6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0,
                   2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
                   2.71155556874348757815e-5, 2.01033439929228813265e-7) /
        polynomial(r, 1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
                   7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7,
                   2.04426310338993978564e-15);
  }
  return q < 0 ? -x : x;
}

}  // namespace random_math
}  // namespace fastcnn
