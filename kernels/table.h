/*
 * The tables that every engine reads: plain C structures of fixed-width fields, so that Java writes them once
 * (io.panoptim.engine.TableImage), the CPU engine reads them in place and the CUDA engine reads a copy in device memory.
 * They have room for all that a step can carry; an engine refuses by name what it does not do yet.
 */
#ifndef PANOPTIM_TABLE_H
#define PANOPTIM_TABLE_H

#ifdef __CUDACC_RTC__ /* NVRTC has no standard headers */
typedef unsigned char uint8_t;
typedef int int32_t;
typedef long long int64_t;
typedef unsigned int uint32_t;
typedef unsigned long long uint64_t;
#else
#include <stdint.h>
#endif

/* Leaves are the fixed blocks, counted from a tensor's global element 0, by which reductions and chunks are cut. */
#define PANOPTIM_LEAF 1024
/* The elements of a leaf go to so many lanes in turn. */
#define PANOPTIM_LANES 128
#define PANOPTIM_SCALARS 16
#define PANOPTIM_STATES 6

/* What a rule's sums are taken over: a tensor, each of its rows, or all tensors. */
#define PANOPTIM_TENSOR 1
#define PANOPTIM_ROW 2
#define PANOPTIM_GLOBAL 3

/* Element types, in the order of io.panoptim.tensor.DType. */
#define PANOPTIM_FLOAT32 0
#define PANOPTIM_FLOAT64 1
#define PANOPTIM_BFLOAT16 2
#define PANOPTIM_FLOAT16 3
#define PANOPTIM_UINT8 4 /* codes of block-quantised states */
#define PANOPTIM_INT64 5 /* row indices */
#define PANOPTIM_INT16 6 /* what a bfloat16 value lacks of its float32 master: kernels/master.h */

/* Codes of block-quantised states, in the order of io.panoptim.engine.StateCode; their tensors are of type uint8. */
#define PANOPTIM_DYNAMIC_SIGNED 16
#define PANOPTIM_DYNAMIC_UNSIGNED 17
#define PANOPTIM_COMPANDED_SIGNED 18
#define PANOPTIM_COMPANDED_UNSIGNED 19
#define PANOPTIM_FLOAT8_SIGNED 20
#define PANOPTIM_FLOAT8_UNSIGNED 21
#define PANOPTIM_DYNAMIC4_SIGNED 22 /* these two have 4 bits: a byte has two codes, the first one in its upper half */
#define PANOPTIM_LINEAR4_UNSIGNED 23
/* Elements that have a scale together, and where their codes are of 4 bits. Slices are cut at multiples of the former in either case. */
#define PANOPTIM_QUANTIZED_BLOCK 256
#define PANOPTIM_QUANTIZED_BLOCK4 128

/* Columns of a record. */
#define PANOPTIM_VALUE 0
#define PANOPTIM_GRADIENT 1
#define PANOPTIM_STATE 2         /* up to PANOPTIM_STATES slots: those of one value an element, then one of all that are shared */
#define PANOPTIM_SCALE 8         /* the scales of each quantised slot */
#define PANOPTIM_MASTER 14       /* float32 master of a half-precision value, or the int16 that it lacks of that */
#define PANOPTIM_COMPENSATION 15 /* Kahan's: what a half-precision value has lost in rounding, of its type */
#define PANOPTIM_AVERAGE 16      /* exponential moving average of the value */
#define PANOPTIM_COPY 17         /* low-precision copy of the value */
#define PANOPTIM_COLUMNS 18

/* One tensor. */
typedef struct panoptim_record {
    uint64_t address[PANOPTIM_COLUMNS]; /* of element 0; 0 where the column is unused */
    uint8_t dtype[PANOPTIM_COLUMNS];
    uint8_t slots;        /* state slots of one value an element in use */
    uint8_t compute;      /* PANOPTIM_FLOAT32 or PANOPTIM_FLOAT64 */
    int32_t scalar_class; /* its row; -1 when it has no gradient in this step */
    uint64_t elements;
    uint64_t origin;        /* global index of element 0: survives slicing and sharding */
    uint64_t rows, columns; /* what a reduction takes apart: 1 x all elements, but for row reductions */
    uint64_t begin, end;    /* the part to step */
    uint64_t id;            /* stable: statistics, random numbers, reordering */
    uint64_t reduced;       /* index of its first reduced value; each row has its own */
    uint64_t partials;      /* index of its first leaf, from element begin on; each row begins with a new one */
    uint64_t leaf;          /* the same where whole columns are reduced: rows do not matter */
    uint64_t reserved;
} panoptim_record;

/* A piece of one tensor, the unit of work: [start, start + elements), cut on leaf boundaries. */
typedef struct panoptim_chunk {
    uint32_t tensor;
    uint32_t elements;
    uint64_t start;
} panoptim_chunk;

/* Sums that are finished together, and so the values that follow from them: over a tensor with its slices, or over all. */
typedef struct panoptim_reduction {
    uint64_t leaves;   /* index of the first */
    uint64_t rows;     /* each with sums of its own */
    uint64_t row_leaves;
    uint64_t columns;  /* elements in each row */
    uint64_t reduced;  /* index of the first reduced value */
    uint32_t tensor;   /* its class and shared states hold for all */
    uint32_t reserved;
} panoptim_reduction;

/* The scalars of one class: a parameter group together with a history (step count, ...), before rounding. */
typedef struct panoptim_row {
    double scalar[PANOPTIM_SCALARS];
    uint32_t flags;
    uint32_t reserved;
    double keep; /* what decay independent of the learning rate leaves of a value, before the rule sees it; 1 without */
    double average; /* weight of the value in its moving average */
    uint64_t noise; /* what stochastic rounding starts from in this step */
} panoptim_row;

/* Everything about one topology: built once, changed only through addresses and classes. */
typedef struct panoptim_table {
    uint32_t size; /* of this structure, as the caller knows it */
    int32_t rule;
    uint32_t record_size;
    uint32_t chunk_size;
    panoptim_record *records;
    panoptim_chunk *chunks;
    uint64_t record_count;
    uint64_t chunk_count;
    uint64_t elements; /* over all chunks */
    uint64_t epoch;
    double *reduced;    /* what follows from the sums, each tensor's from its record's index on */
    double *partials;   /* the sums over each leaf, one after the other */
    uint64_t reduced_count; /* of tensors' rows */
    uint64_t leaf_count;
    panoptim_reduction *reductions;
    uint64_t reduction_count;
    uint32_t *tickets;  /* one per tensor and one for all: who draws the last one finishes a reduction */
    uint64_t reserved[2];
} panoptim_table;

/* What optimizers that share a loss scale share on a device. */
typedef struct panoptim_control {
    uint32_t size;
    float found_inf; /* not 0: steps that may be skipped are */
    float scale;
    float inverse_scale;
    float clip_float32; /* the coefficient by which gradients are clipped, in either compute type */
    int32_t growth_tracker;
    int32_t hysteresis_tracker;
    uint32_t reserved;
    double clip_float64;
    double norm;
    uint64_t applied; /* measured steps */
    uint64_t skipped;
} panoptim_control;

/* What rides along in the same pass. */
#define PANOPTIM_UNSCALE 1u
#define PANOPTIM_CLIP 2u
#define PANOPTIM_WRITE_GRADIENT 4u
#define PANOPTIM_ZERO_GRADIENT 8u
#define PANOPTIM_UPDATE_AVERAGE 16u
#define PANOPTIM_WRITE_COPY 32u
#define PANOPTIM_FLUSH_SUBNORMAL 64u
#define PANOPTIM_STATISTICS 128u
#define PANOPTIM_SKIP 256u
#define PANOPTIM_STOCHASTIC 512u /* bfloat16 values that nothing rides along with to make up for it are rounded stochastically */

/* What statistics add up over each class. */
#define PANOPTIM_STATISTIC_SUMS 3 /* squares of gradients, of changes of values, and of values */

typedef struct panoptim_extras {
    uint32_t flags;
    int32_t copy_rounding; /* 0: to nearest even; 1: stochastic */
    double *statistic_leaves; /* PANOPTIM_STATISTIC_SUMS for each leaf, by the records' index of the first */
    double *statistics;       /* the same for each class */
} panoptim_extras;

/* One step over one table. */
typedef struct panoptim_step {
    uint32_t size;
    uint32_t classes;         /* rows per step */
    const panoptim_row *rows; /* ring x classes */
    uint32_t row_size;
    uint32_t ring;             /* rows are given for this many steps ahead */
    panoptim_control *control; /* or null */
    panoptim_extras extras;
} panoptim_step;

/* A sparse gradient, of some rows of one tensor that has no dense one in this step. */
#define PANOPTIM_NEGATE 1u /* the gradient is that of what is to be maximized */
#define PANOPTIM_SUM 2u    /* add up what repeated indices have before it is used; else use one after another */

#define PANOPTIM_PREPARE 1u /* refuse what is wrong and sort the indices; nothing but the workspace is written */
#define PANOPTIM_APPLY 2u   /* update, what has been prepared */

typedef struct panoptim_row_gradient {
    uint32_t tensor;
    int32_t scalar_class;
    uint64_t rows, columns; /* of the tensor: its first dimension, and all others together */
    const int64_t *indices; /* of rows, in any order */
    const void *values;     /* indices x columns */
    uint64_t count;         /* of indices */
    uint8_t dtype;          /* of the values */
    uint32_t flags;
    uint64_t *moving;    /* null, or a bit for each row that is stepped even without a gradient; those with one are added */
    uint64_t *workspace; /* 4 x count, where the engine sorts the indices */
    uint64_t distinct;   /* how many it found */
    uint64_t elements;   /* how many it is going to update */
    uint64_t items;      /* of work, up to and with this gradient's */
} panoptim_row_gradient;

/* What a step does besides, or in place of, its table's dense gradients. */
typedef struct panoptim_row_step {
    uint32_t size;
    int32_t rule;
    uint32_t gradient_size;
    uint32_t phases;
    panoptim_row_gradient *gradients;
    uint64_t gradient_count;
} panoptim_row_step;

/* Of panoptim_rule, and of what its functions take: row.h and loop.h. */
#define PANOPTIM_RULE_ABI 2u

/* Instructions that not every processor of the lowest tier has. */
#define PANOPTIM_AVX512 1u

/* Stands for a function of whatever type. */
typedef void (*panoptim_function)(void);

/* A rule of a user's own (user_rule.h): what his library exports as panoptim_user_rule. Names are written (first)(second). */
typedef struct panoptim_rule {
    uint32_t size;
    uint32_t abi;
    const char *name;
    const char *states;
    const char *optional_states; /* they follow the others */
    const char *scalars;
    const char *flags;
    uint32_t row_size;     /* of a row in double precision */
    uint32_t instructions; /* that its functions use */
    float (*multiply_add)(float a, float b, float c); /* a * b + c, as its compiler rounds that */
    panoptim_function float32[PANOPTIM_STATES + 1];   /* by the number of slots in use, null where the rule has none: */
    panoptim_function float64[PANOPTIM_STATES + 1];   /* Sweep<float> and Sweep<double> of loop.h */
} panoptim_rule;

/* Operations on each element of a column, in the order of io.panoptim.engine.MapOperation.Kind. */
#define PANOPTIM_MAP_ZERO 0
#define PANOPTIM_MAP_SCALE 1
#define PANOPTIM_MAP_CAST 2
#define PANOPTIM_MAP_LERP 3
#define PANOPTIM_MAP_AXPY 4
#define PANOPTIM_MAP_CLAMP 5

/* One operation, in every tensor of a table that has the columns. */
typedef struct panoptim_map {
    uint32_t size;
    uint32_t kind;
    uint32_t target; /* the column that is written */
    uint32_t source; /* the column that is read, by cast, lerp and axpy */
    double a, b;     /* coefficients, before they are rounded to the compute type */
} panoptim_map;

/* What is reduced over columns. */
#define PANOPTIM_REDUCE_DOT 0
#define PANOPTIM_REDUCE_ABSOLUTE_SUM 1
#define PANOPTIM_REDUCE_ABSOLUTE_MAXIMUM 2
#define PANOPTIM_REDUCE_POWER 3 /* the sum of the absolute values' powers */

/* One reduction, over every tensor of a table that has the columns. */
typedef struct panoptim_reduce {
    uint32_t size;
    uint32_t kind;
    uint32_t left;
    uint32_t right;     /* of a dot product */
    double factor;      /* by which elements are multiplied first, in the compute type */
    double p;           /* the exponent of a power */
    uint32_t nonfinite; /* set to 1 where an element of the left column is infinite or NaN */
    uint32_t reserved;
    double *leaves;  /* the result over each leaf, by the records' index of the first; kept between calls over parts of a table */
    uint64_t leaf_count;
    double result;   /* over all leaves, those of earlier calls included */
} panoptim_reduce;

/*
 * Tensors whose second moments are averages over rows and columns (Adafactor; kernels/factored.h): matrices of equal shape, one after
 * the other, or, where it is not factored, one row with an average for each element.
 */
#define PANOPTIM_FACTORED_ROWS 64      /* of a block, at most */
#define PANOPTIM_FACTORED_COLUMNS 4096 /* likewise */
#define PANOPTIM_FACTORED_PIECE 512    /* of a block's row: each has a sum of its own, and these are added in order */
#define PANOPTIM_FACTORED_LANES 16     /* the elements of a piece go to so many lanes in turn */
#define PANOPTIM_FACTORED_PIECES 512   /* of a block, at most */

#define PANOPTIM_FACTORED_SCALED 1u /* the step size is multiplied by the values' root mean square */

typedef struct panoptim_factored {
    uint64_t value, gradient;   /* addresses */
    uint64_t row_average;       /* batch x rows, in the compute type; 0 where it is not factored */
    uint64_t column_average;    /* batch x columns, likewise */
    uint64_t average;           /* of updates, in the compute type; or 0 */
    uint8_t value_dtype, gradient_dtype, compute, unused;
    uint32_t flags;
    uint64_t batch, rows, columns;
    uint64_t first_block, blocks;
    uint64_t first_matrix;      /* of all tensors' */
    uint64_t row_partials, column_partials; /* where sums over the rows and columns of blocks begin, unless each matrix is in one */
    uint64_t row_factors, column_factors;   /* addresses, in the compute type */
    /* what the step is told, not rounded */
    double lr, average_weight, square_eps, mean_floor, factor_limit, clip_threshold, scale_eps, decay, scaled_decay, momentum;
    /* what follows from sums */
    double rms, step_size, keep;
} panoptim_factored;

/* A part of one matrix, or some whole ones if they are small. */
typedef struct panoptim_factored_block {
    uint64_t tensor, matrix, matrices;
    uint64_t row, rows, column, columns;
} panoptim_factored_block;

typedef struct panoptim_factored_step {
    uint32_t size, record_size, block_size, reserved;
    panoptim_factored *tensors;
    const panoptim_factored_block *blocks;
    uint64_t begin, end;             /* the tensors to step */
    uint64_t first_block, end_block; /* their blocks */
    double *partials;
    double *sums;                    /* one for each block */
} panoptim_factored_step;

#endif
