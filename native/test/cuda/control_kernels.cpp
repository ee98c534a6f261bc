// control.cu for the host, and what its kernels read and write.
#include "builtins.h"
#include "kernels.h"
#include "memory.h"

#include "control.cu"

namespace panoptim_cuda {

static const char* check_control(void** parameters, uint64_t) {
    const panoptim::ControlArguments& arguments = *(const panoptim::ControlArguments*)parameters[0];
    return live((uint64_t)arguments.control, sizeof(panoptim_control)) ? nullptr : "the control block";
}

static const char* check_both(void** parameters, uint64_t blocks) {
    const panoptim::ControlArguments& arguments = *(const panoptim::ControlArguments*)parameters[0];
    if (!live((uint64_t)arguments.other, sizeof(panoptim_control))) return "the other control block";
    return check_control(parameters, blocks);
}

static const char* check_measured(void** parameters, uint64_t blocks) {
    const panoptim::ControlArguments& arguments = *(const panoptim::ControlArguments*)parameters[0];
    if (!live((uint64_t)arguments.nonfinite, sizeof(uint32_t))) return "what is not finite";
    if (arguments.part_count > 0 && !live((uint64_t)arguments.parts, arguments.part_count * sizeof(double))) return "the parts";
    return check_control(parameters, blocks);
}

#define ENTRY(operation, check) Entry<panoptim_control_##operation>::of("panoptim_control_" #operation, check)
static const Kernel kernels[] = {ENTRY(measured, check_measured), ENTRY(scale, check_control), ENTRY(scale_of, check_both),
                                 ENTRY(found_inf, check_control), ENTRY(merge, check_both), ENTRY(update, check_control)};
extern const Part control_part;
const Part control_part = {kernels, sizeof kernels / sizeof kernels[0], nullptr, 0};

}  // namespace panoptim_cuda
