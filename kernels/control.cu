// What is done to a control block on CUDA, each by one thread, so that the CPU need not wait for what was measured: the twin of
// io.panoptim.engine.HostControl. Compiled by nvcc and, without any standard header, by NVRTC.
#include "nvrtc.h"

#include "power.h"

#define PANOPTIM_THREADS 256

namespace panoptim {

// The only argument of these kernels, each of which reads some of it.
struct ControlArguments {
    panoptim_control* control;
    const panoptim_control* other;
    const double* parts;   // what each table's gradients were reduced to
    uint64_t part_count;
    uint32_t* nonfinite;   // not 0: some element was infinite or NaN; it is 0 again afterwards
    double p, max_norm;    // the norm's order; infinite where nothing is clipped
    double growth_factor, backoff_factor;
    int32_t growth_interval, hysteresis;
    int32_t growth_tracker;
    uint32_t skips;        // 1 where a step does not take place if an element is not finite
    float value;           // what is set
    uint32_t reserved;
};
static_assert(sizeof(ControlArguments) == 96, "as Java writes them");

__device__ inline bool infinite(double positive) { return positive > Format<double>::LARGEST; }

__device__ inline double norm(const ControlArguments& arguments) {
    const double p = arguments.p;
    double total = 0;
    for (uint64_t i = 0; i < arguments.part_count; i++) {
        total = infinite(p) ? maximum(total, arguments.parts[i]) : total + arguments.parts[i];
    }
    return p == 1 || infinite(p) ? total : p == 2 ? sqrt(total) : pow(total, 1 / p);
}

// As torch computes it in the compute type.
template <class T>
__device__ T clip(double norm, double max_norm) {
    if (infinite(max_norm)) return 1;
    const T coefficient = reciprocal_times((T)norm + T(1e-6), (T)max_norm);
    return coefficient > 1 ? T(1) : coefficient;
}

__device__ inline void measured(const ControlArguments& arguments) {
    panoptim_control& control = *arguments.control;
    const bool finite = *arguments.nonfinite == 0;
    control.found_inf = finite ? 0 : 1;
    control.norm = norm(arguments);
    control.clip_float32 = clip<float>(control.norm, arguments.max_norm);
    control.clip_float64 = clip<double>(control.norm, arguments.max_norm);
    if (arguments.skips && !finite) control.skipped++;
    else control.applied++;
    *arguments.nonfinite = 0;
}

__device__ inline void set_scale(panoptim_control& control, float scale) {
    control.scale = scale;
    control.inverse_scale = (float)(1 / (double)scale);
}

__device__ inline void scale(const ControlArguments& arguments) {
    set_scale(*arguments.control, arguments.value);
    arguments.control->growth_tracker = arguments.growth_tracker;
    arguments.control->hysteresis_tracker = arguments.hysteresis;
}

__device__ inline void update(const ControlArguments& arguments) {
    panoptim_control& control = *arguments.control;
    int32_t growth = control.growth_tracker + 1;
    int32_t hysteresis = arguments.hysteresis;
    if (control.found_inf != 0) {
        growth = 0;
        hysteresis = control.hysteresis_tracker - 1;
        if (hysteresis <= 0) set_scale(control, (float)(control.scale * arguments.backoff_factor));
    } else if (growth == arguments.growth_interval) {
        growth = 0;
        const float grown = (float)(control.scale * arguments.growth_factor);
        if (grown <= Format<float>::LARGEST) set_scale(control, grown);
    }
    control.growth_tracker = growth;
    control.hysteresis_tracker = hysteresis;
    control.found_inf = 0;
}

}  // namespace panoptim

#define PANOPTIM_CONTROL_KERNEL(name, body)                                                                                \
    extern "C" __global__ void __launch_bounds__(PANOPTIM_THREADS) panoptim_control_##name(                                \
            const __grid_constant__ panoptim::ControlArguments arguments) {                                                \
        if (threadIdx.x == 0) body;                                                                                        \
    }

PANOPTIM_CONTROL_KERNEL(measured, panoptim::measured(arguments))
PANOPTIM_CONTROL_KERNEL(scale, panoptim::scale(arguments))
PANOPTIM_CONTROL_KERNEL(scale_of, panoptim::set_scale(*arguments.control, arguments.other->scale))
PANOPTIM_CONTROL_KERNEL(found_inf, arguments.control->found_inf = arguments.value)
PANOPTIM_CONTROL_KERNEL(merge, if (arguments.other->found_inf != 0) arguments.control->found_inf = 1)
PANOPTIM_CONTROL_KERNEL(update, panoptim::update(arguments))
