// The library's own threads: see parallel.h for how kernels use them.
#pragma once
#include <string>

namespace fastcnn {

void set_num_threads(int threads);  // >= 1; ValueError otherwise
std::string num_threads_source();   // where the number comes from, for `fastcnn doctor`
int running_pool_threads();         // threads started so far (0 until the first parallel loop)

}  // namespace fastcnn
