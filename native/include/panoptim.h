/*
 * The CPU engine: the only door between Java and C++. One shared object per instruction-set tier exports the two
 * functions at the end of this page and nothing else; everything goes through the structure of function pointers.
 *
 * Functions return 0, or a negative code whose text last_error() gives on the same thread. What they refuse, they
 * refuse before anything is written. A structure that the caller fills begins with its own size.
 */
#ifndef PANOPTIM_H
#define PANOPTIM_H

#include "table.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PANOPTIM_ABI 6u

#define PANOPTIM_OK 0
#define PANOPTIM_INVALID (-1)     /* an argument is wrong */
#define PANOPTIM_UNSUPPORTED (-2) /* this engine does not do that */
#define PANOPTIM_EXHAUSTED (-3)   /* no memory, no thread */

typedef struct panoptim_pool panoptim_pool;

/* Where the library has a structure's field: Java compares this with its own layouts. */
typedef struct panoptim_field {
    const char *structure;
    const char *field;
    uint64_t offset; /* the structure's size for the field "sizeof" */
} panoptim_field;

/* A BLAS library's functions, with CBLAS's parameters. They run on the calling thread alone. */
typedef struct panoptim_blas {
    uint32_t size;
    uint32_t reserved;
    const void *sgemm;
    const void *dgemm;
    const void *ssyevd; /* these and the following are LAPACK's, with Fortran's parameters; null if the library lacks them */
    const void *dsyevd;
    const void *sgeqrf;
    const void *dgeqrf;
    const void *sorgqr;
    const void *dorgqr;
    const char *config; /* what the library says of itself; null if it does not */
    const void *onednn; /* its functions, for the library that opened it; null where products of bfloat16 are widened instead */
} panoptim_blas;

#define PANOPTIM_EIGEN 0 /* symmetric matrices, of which the lower triangle is read, become their eigenvectors, as columns */
#define PANOPTIM_QR 1    /* matrices with no more columns than rows become the orthonormal factors Q of A = Q R */

/* A decomposition of each of a batch of row-major matrices of float32 or float64, in place. */
typedef struct panoptim_decomposition {
    uint32_t size;
    uint32_t dtype;
    uint32_t kind;
    uint32_t reserved;
    uint64_t batch;
    uint64_t rows;
    uint64_t columns;
    uint64_t leading;            /* from row to row, in elements */
    const uint64_t *matrices;    /* addresses */
    const uint64_t *eigenvalues; /* for each matrix where they go, ascending */
    uint64_t failed;             /* 0, or 1 + the number of a matrix that was not decomposed */
} panoptim_decomposition;

#define PANOPTIM_TRANSPOSE_A 1u
#define PANOPTIM_TRANSPOSE_B 2u
#define PANOPTIM_SYMMETRIC 4u /* the result is symmetric: half of it is computed, and mirrored */

/*
 * D = alpha op(A) op(B) + beta C + gamma I for a batch of row-major matrices of one type, half types accumulating in float32. C may be D.
 * Where alpha is 0, A and B are not read; where beta is 0, C. Of products that follow each other a matrix of the batch may go through all
 * before another one does: what it is computed from are results of the same number only.
 */
typedef struct panoptim_product {
    uint32_t size;
    uint32_t dtype;
    uint32_t flags;
    uint32_t following; /* products behind this one in memory, of the same type and batch */
    uint64_t batch;
    uint64_t rows;       /* of D */
    uint64_t columns;    /* of D */
    uint64_t inner;      /* columns of op(A) */
    uint64_t leading[4]; /* from row to row, in elements: of A, B, C and D */
    const uint64_t *addresses[4]; /* for each of the four its batch of matrices */
    double alpha;
    double beta;
    double gamma;
} panoptim_product;

typedef struct panoptim_api {
    uint32_t size;
    uint32_t abi;
    const char *isa;        /* the tier: "x86-64-v3", "x86-64-v4", "aarch64" */
    const char *compiler;
    const char *rules_hash; /* SHA-256 of kernels/rules.txt */
    const panoptim_field *fields;
    uint64_t field_count;

    /* Copies this thread's last error, with its terminating zero, and returns its length. */
    int32_t (*last_error)(char *text, int32_t capacity);

    /* A pool of threads - 1 workers; the calling thread is the last one. */
    int32_t (*pool_create)(int32_t threads, panoptim_pool **pool);
    /* Waits for its workers to end. */
    int32_t (*pool_destroy)(panoptim_pool *pool);

    /*
     * One fused pass over the table. The guards are not read: a segment given there, one for each arena in which the
     * table's addresses lie, stays open for the duration of the call.
     */
    int32_t (*step)(panoptim_pool *pool, const panoptim_table *table, const panoptim_step *step, const void *guard0,
                    const void *guard1, const void *guard2, const void *guard3, const void *guard4,
                    const void *guard5, const void *guard6, const void *guard7);

    /*
     * The phases of a step over some rows of tensors of the table, which have no dense gradient in it. The table and the step
     * are as above; the rows of scalars are those of the sparse gradients' own rule. The structures are written to as well.
     */
    int32_t (*step_rows)(panoptim_pool *pool, const panoptim_table *table, const panoptim_step *step,
                         const panoptim_row_step *rows, const void *guard0, const void *guard1, const void *guard2,
                         const void *guard3, const void *guard4, const void *guard5, const void *guard6, const void *guard7);

    /*
     * Takes a rule of a user's own and gives it the number by which tables name it; the same one when it is given again.
     * The rule's library stays loaded as long as this one.
     */
    int32_t (*register_rule)(const panoptim_rule *rule, int32_t *number);

    /* An operation on a column, of all tensors, whether they have a gradient or not. The guards are as above. */
    int32_t (*map)(panoptim_pool *pool, const panoptim_table *table, const panoptim_map *map, const void *guard0,
                   const void *guard1, const void *guard2, const void *guard3, const void *guard4, const void *guard5,
                   const void *guard6, const void *guard7);

    /* A reduction over columns, likewise. The result is written into the reduction. */
    int32_t (*reduce)(panoptim_pool *pool, const panoptim_table *table, panoptim_reduce *reduce, const void *guard0,
                      const void *guard1, const void *guard2, const void *guard3, const void *guard4, const void *guard5,
                      const void *guard6, const void *guard7);

    /*
     * Loads the last of some files, a BLAS library, for the life of the process; the others are what it depends on.
     */
    int32_t (*open_blas)(const char *const *files, uint64_t count, panoptim_blas *blas);

    /* Loads oneDNN likewise, and adds its product of bfloat16; refused where the processor has no instructions for that. */
    int32_t (*open_onednn)(const char *const *files, uint64_t count, panoptim_blas *blas);

    /* Matrix products, by one thread each or by several for its parts. The guards are as above. */
    int32_t (*multiply)(panoptim_pool *pool, const panoptim_blas *blas, const panoptim_product *product, const void *guard0,
                        const void *guard1, const void *guard2, const void *guard3, const void *guard4, const void *guard5,
                        const void *guard6, const void *guard7);

    /* A step of some tensors with factored second moments. The guards are as above. */
    int32_t (*step_factored)(panoptim_pool *pool, const panoptim_factored_step *step, const void *guard0, const void *guard1,
                             const void *guard2, const void *guard3, const void *guard4, const void *guard5, const void *guard6,
                             const void *guard7);

    /* Decompositions, each by one thread. What fails for one matrix leaves the others decomposed. The guards are as above. */
    int32_t (*decompose)(panoptim_pool *pool, const panoptim_blas *blas, panoptim_decomposition *decomposition, const void *guard0,
                         const void *guard1, const void *guard2, const void *guard3, const void *guard4, const void *guard5,
                         const void *guard6, const void *guard7);
} panoptim_api;

/* 1 when this processor and operating system can run this library, 0 when not, -1 when the processor could but the
 * operating system has not enabled it. Safe to call on any processor of the architecture; ask before anything else. */
__attribute__((visibility("default"))) int32_t panoptim_supported(void);

/* Null unless the library has exactly this ABI. */
__attribute__((visibility("default"))) const panoptim_api *panoptim_get_api(uint32_t abi);

/* The types of these two, by which a caller that looks them up itself calls them. */
typedef int32_t (*panoptim_supported_function)(void);
typedef const panoptim_api *(*panoptim_get_api_function)(uint32_t abi);

#ifdef __cplusplus
}
#endif

#endif
