// where: condition ? a : b, element by element with broadcasting; only bytes move, so one kernel serves every dtype.
#pragma once
#include <stdint.h>

#include "core/isa.h"
#include "ops/binary/broadcast.h"

namespace fastcnn {

// Operands 0, 1, 2 of the plan are condition, a, b; elements have 1, 2, 4 or 8 bytes.
FASTCNN_DECLARE_CPU(void, where_forward, const BroadcastPlan& plan, int element_bytes, const bool* condition,
                    const void* a, const void* b, void* y)

namespace cuda {
void where_forward(const BroadcastPlan& plan, int element_bytes, const void* condition, const void* a, const void* b,
                   void* y);
}

}  // namespace fastcnn
