#include "onednn.h"

#include <dlfcn.h>

#include <memory>
#include <new>

namespace panoptim {

// dnnl_types.h, as far as it is used here.
using Dims = int64_t[12];
struct Argument {
    int index;
    void* memory;
};
static constexpr int CPU = 1;
static constexpr unsigned IN_ORDER = 1;
static constexpr int BFLOAT16 = 2, FLOAT32 = 3;
static constexpr int SOURCE = 1, WEIGHTS = 33, DESTINATION = 17;
static constexpr int HAS_BFLOAT16 = 0x80;  // in dnnl_cpu_isa_t, of which each one has the bits of those that it includes

struct OneDnn {
    int (*isa)();
    int (*max_threads)();
    void (*set_threads)(int);
    int (*engine_create)(void** engine, int kind, size_t index);
    int (*stream_create)(void** stream, void* engine, unsigned flags);
    int (*stream_destroy)(void* stream);
    int (*layout_create)(void** layout, int dimensions, const Dims sizes, int dtype, const Dims strides);
    int (*layout_destroy)(void* layout);
    int (*memory_create)(void** memory, const void* layout, void* engine, void* address);
    int (*memory_destroy)(void* memory);
    int (*memory_point)(void* memory, void* address);
    int (*matmul_create)(void** description, void* engine, const void* source, const void* weights, const void* bias,
                         const void* destination, const void* attributes);
    int (*description_destroy)(void* description);
    int (*primitive_create)(void** primitive, const void* description);
    int (*primitive_destroy)(void* primitive);
    int (*execute)(const void* primitive, void* stream, int arguments, const Argument* argument);
    void* engine;
};

template <class Function>
static bool find(void* library, const char* name, Function& function) {
    function = reinterpret_cast<Function>(dlsym(library, name));
    return function != nullptr;
}

static bool find_all(void* library, OneDnn& all) {
    return find(library, "dnnl_get_effective_cpu_isa", all.isa) && find(library, "omp_get_max_threads", all.max_threads) &&
           find(library, "omp_set_num_threads", all.set_threads) && find(library, "dnnl_engine_create", all.engine_create) &&
           find(library, "dnnl_stream_create", all.stream_create) && find(library, "dnnl_stream_destroy", all.stream_destroy) &&
           find(library, "dnnl_memory_desc_create_with_strides", all.layout_create) &&
           find(library, "dnnl_memory_desc_destroy", all.layout_destroy) && find(library, "dnnl_memory_create", all.memory_create) &&
           find(library, "dnnl_memory_destroy", all.memory_destroy) &&
           find(library, "dnnl_memory_set_data_handle", all.memory_point) &&
           find(library, "dnnl_matmul_primitive_desc_create", all.matmul_create) &&
           find(library, "dnnl_primitive_desc_destroy", all.description_destroy) &&
           find(library, "dnnl_primitive_create", all.primitive_create) &&
           find(library, "dnnl_primitive_destroy", all.primitive_destroy) && find(library, "dnnl_primitive_execute", all.execute);
}

const OneDnn* find_onednn(void* library) {
    std::unique_ptr<OneDnn> functions(new (std::nothrow) OneDnn{});
    if (functions == nullptr || !find_all(library, *functions)) return nullptr;
    return functions->engine_create(&functions->engine, CPU, 0) == 0 ? functions.release() : nullptr;
}

bool multiplies_bfloat16(const OneDnn& library) { return (library.isa() & HAS_BFLOAT16) != 0; }

SingleThread::SingleThread(const OneDnn& library) : library(library), before(library.max_threads()) { library.set_threads(1); }

SingleThread::~SingleThread() { library.set_threads(before); }

// A product of one shape, with the places of its matrices.
class Primitive {
public:
    Primitive(const OneDnn& library, const Bfloat16Shape& shape)
        : library(library),
          shape(shape),
          a(library, BFLOAT16, shape.rows, shape.inner, shape.leading_a, shape.transposed_a),
          b(library, BFLOAT16, shape.inner, shape.columns, shape.leading_b, shape.transposed_b),
          sum(library, FLOAT32, shape.rows, shape.columns, shape.leading_sum, false) {
        void* description = nullptr;
        if (!a.made() || !b.made() || !sum.made()) return;
        if (library.matmul_create(&description, library.engine, a.layout, b.layout, nullptr, sum.layout, nullptr) != 0) return;
        if (library.primitive_create(&primitive, description) != 0) primitive = nullptr;
        library.description_destroy(description);
    }

    Primitive(const Primitive&) = delete;
    Primitive& operator=(const Primitive&) = delete;

    ~Primitive() {
        if (primitive != nullptr) library.primitive_destroy(primitive);
    }

    bool made() const { return primitive != nullptr; }

    bool is_for(const Bfloat16Shape& wanted) const { return shape == wanted; }

    bool run(void* stream, const void* from_a, const void* from_b, float* to) {
        if (!a.point(from_a) || !b.point(from_b) || !sum.point(to)) return false;
        const Argument arguments[] = {{SOURCE, a.memory}, {WEIGHTS, b.memory}, {DESTINATION, sum.memory}};
        return library.execute(primitive, stream, 3, arguments) == 0;
    }

private:
    // A matrix of the product: element (i, j) lies at leading i + j or, if it is transposed, at i + leading j.
    struct Matrix {
        const OneDnn& library;
        void* layout = nullptr;
        void* memory = nullptr;

        Matrix(const OneDnn& library, int dtype, int64_t rows, int64_t columns, int64_t leading, bool transposed) : library(library) {
            const Dims sizes = {rows, columns};
            const Dims strides = {transposed ? 1 : leading, transposed ? leading : 1};
            if (library.layout_create(&layout, 2, sizes, dtype, strides) != 0) layout = nullptr;
            if (layout != nullptr && library.memory_create(&memory, layout, library.engine, nullptr) != 0) memory = nullptr;
        }

        Matrix(const Matrix&) = delete;
        Matrix& operator=(const Matrix&) = delete;

        ~Matrix() {
            if (memory != nullptr) library.memory_destroy(memory);
            if (layout != nullptr) library.layout_destroy(layout);
        }

        bool made() const { return memory != nullptr; }

        bool point(const void* address) { return library.memory_point(memory, const_cast<void*>(address)) == 0; }
    };

    const OneDnn& library;
    const Bfloat16Shape shape;
    Matrix a, b, sum;
    void* primitive = nullptr;
};

// A thread's primitives: none is used by two at a time.
class Primitives {
public:
    explicit Primitives(const OneDnn& library) : library(library) {
        if (library.stream_create(&stream, library.engine, IN_ORDER) != 0) stream = nullptr;
    }

    Primitives(const Primitives&) = delete;
    Primitives& operator=(const Primitives&) = delete;

    ~Primitives() {
        if (stream != nullptr) library.stream_destroy(stream);
    }

    bool of(const OneDnn& other) const { return &library == &other; }

    bool run(const Bfloat16Shape& shape, const void* a, const void* b, float* sum) {
        Primitive* primitive = stream == nullptr ? nullptr : find(shape);
        return primitive != nullptr && primitive->run(stream, a, b, sum);
    }

private:
    static constexpr size_t MOST = 256;

    const OneDnn& library;
    void* stream = nullptr;
    std::unique_ptr<Primitive> made[MOST];
    size_t count = 0;

    // Null for want of memory.
    Primitive* find(const Bfloat16Shape& shape) {
        for (size_t i = 0; i < count; ++i) {
            if (made[i]->is_for(shape)) return made[i].get();
        }
        std::unique_ptr<Primitive> primitive(new (std::nothrow) Primitive(library, shape));
        if (primitive == nullptr || !primitive->made()) return nullptr;
        if (count == MOST) count = 0;  // from here on they replace the others
        made[count] = std::move(primitive);
        return made[count++].get();
    }
};

bool multiply_bfloat16(const OneDnn& library, const Bfloat16Shape& shape, const void* a, const void* b, float* sum) {
    static thread_local std::unique_ptr<Primitives> primitives;
    if (primitives == nullptr || !primitives->of(library)) primitives.reset(new (std::nothrow) Primitives(library));
    return primitives != nullptr && primitives->run(shape, a, b, sum);
}

}  // namespace panoptim
