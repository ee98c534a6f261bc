// All that is compiled for the device.
#include "kernels.h"

namespace panoptim_cuda {

extern const Part step_part_0, step_part_1, step_part_2, step_part_3, staged_part_0, staged_part_1, columns_part,
    products_part, rows_part, factored_part, control_part, faulty_part;
const Part* const parts[] = {&step_part_0, &step_part_1, &step_part_2, &step_part_3, &staged_part_0, &staged_part_1, &columns_part,
                             &products_part, &rows_part, &factored_part, &control_part, &faulty_part, nullptr};

}  // namespace panoptim_cuda
