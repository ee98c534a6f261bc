#!/bin/sh
# Regenerates the Java bindings with the jextract found in $JEXTRACT or on PATH:
#   native/bindings.sh [OUTPUT]      OUTPUT: a source root, by default src/main/java
# Run it after a change to native/include/panoptim.h, kernels/table.h or native/cublas_calls.h, and commit what it writes. It takes the
# CUDA driver's functions from the toolkit's cuda.h, of any version from 12 on, in $CUDA_HOME/include or beside the nvcc on PATH. Where
# there is a cublas_v2.h, in the same folder or in $CUBLAS_INCLUDE (pip's nvidia-cublas has one), it compares that with cublas_calls.h.
set -eu
cd "$(dirname "$0")/.."
output=${1:-src/main/java}
jextract=${JEXTRACT:-jextract}
command -v "$jextract" >/dev/null || {
    echo "bindings.sh: no jextract on PATH; set JEXTRACT to its path (https://jdk.java.net/jextract)" >&2
    exit 1
}

# libclang finds limits.h and stddef.h in the compiler's own include folder.
compiler_include=$("${CC:-cc}" -print-file-name=include)
arguments=$(grep -v '^#' native/bindings.includes)
cuda_arguments=$(grep -v '^#' native/bindings.cuda.includes)
cublas_arguments=$(grep -v '^#' native/bindings.cublas.includes)

cuda=${CUDA_HOME:-}
if [ -z "$cuda" ] && command -v nvcc >/dev/null; then
    cuda=$(nvcc --dryrun -x cu /dev/null -o /dev/null 2>&1 | sed -n 's/^#\$ TOP=//p')
fi
[ -f "${cuda:=/usr/local/cuda}/include/cuda.h" ] || {
    echo "bindings.sh: no $cuda/include/cuda.h; set CUDA_HOME to a CUDA toolkit" >&2
    exit 1
}

rm -rf "$output/io/panoptim/ffi"
# shellcheck disable=SC2086
"$jextract" -I "$compiler_include" -I kernels --output "$output" -t io.panoptim.ffi $arguments native/include/panoptim.h
"$jextract" -I "$compiler_include" --output "$output" -t io.panoptim.ffi --header-class-name libm \
    --include-function pow --include-function cos --include-function exp --include-function log --include-function tanh '<math.h>'
"$jextract" -I "$compiler_include" --output "$output" -t io.panoptim.ffi --header-class-name memory_map \
    --include-function mmap --include-function munmap --include-function madvise --include-constant PROT_READ --include-constant PROT_WRITE \
    --include-constant MAP_PRIVATE --include-constant MAP_ANONYMOUS --include-constant MADV_HUGEPAGE '<sys/mman.h>'
# shellcheck disable=SC2086
"$jextract" -I "$compiler_include" -I "$cuda/include" --output "$output" -t io.panoptim.ffi --header-class-name cuda_driver \
    -l :libcuda.so.1 $cuda_arguments '<cuda.h>'
# shellcheck disable=SC2086
"$jextract" -I "$compiler_include" --output "$output" -t io.panoptim.ffi --header-class-name cublas $cublas_arguments native/cublas_calls.h
if [ -f "${CUBLAS_INCLUDE:=$cuda/include}/cublas_v2.h" ]; then
    "${CC:-cc}" -fsyntax-only -Wcast-function-type -Werror -I "$CUBLAS_INCLUDE" -I "$cuda/include" native/cublas_check.c
else
    echo "bindings.sh: no $CUBLAS_INCLUDE/cublas_v2.h: native/cublas_calls.h was not compared with it" >&2
fi

if [ "$output" = src/main/java ]; then
    sha256sum native/include/panoptim.h kernels/table.h native/cublas_calls.h native/bindings.includes \
        native/bindings.cuda.includes native/bindings.cublas.includes > native/bindings.sha256
fi
