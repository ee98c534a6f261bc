#!/bin/sh
# Makes one archive with which a GPU host without a JDK or network runs the GPU tests and benchmarks:
#   bench/bundle.sh [ARCHIVE]      by default bench/target/panoptim-gpu-checks.tar.gz, for Linux on x86-64
# There: tar xzf panoptim-gpu-checks.tar.gz && panoptim-gpu-checks/run-gpu-checks.sh [RESULTS]
# OpenBLAS (20 MB) is not in it: there, the CPU engine multiplies no matrices.
set -eu
cd "$(dirname "$0")/.."
archive=$(realpath -m "${1:-bench/target/panoptim-gpu-checks.tar.gz}")
limit=40000000
name=panoptim-gpu-checks
stage=$PWD/bench/target/$name

[ "$(uname -sm)" = "Linux x86_64" ] || { echo "bundle.sh: the image is for the machine that makes it: Linux on x86-64" >&2; exit 1; }

# Installed where no other build looks for it; what is there already comes from the usual place.
maven="./mvnw -B -q -Dmaven.repo.local=$PWD/target/m2 -Dmaven.repo.local.tail=${MAVEN_LOCAL:-$HOME/.m2/repository}"
$maven install -DskipTests
[ -f target/classes/META-INF/cuda/panoptim.fatbin ] || { echo "bundle.sh: the build found no nvcc, so there are no kernels to check" >&2; exit 1; }
$maven -f bench/pom.xml package

rm -rf "$stage"
mkdir -p "$stage/lib" "$stage/bench" "$stage/src/test"
version() { sed -n "s:.*<$1>\(.*\)</$1>.*:\1:p" pom.xml | head -n 1; }
copy() { $maven dependency:copy -Dartifact="$1" -DoutputDirectory="$stage/lib" -Dmdep.useBaseVersion=true; }
$maven dependency:copy-dependencies -DincludeScope=runtime -DexcludeClassifiers=linux-x86_64 \
    -DexcludeArtifactIds=xchart,VectorGraphics2D,openblas,dnnl,progressbar,jline-terminal,jline-native -DoutputDirectory="$stage/lib"
junit=$(version junit.version) # of Jupiter 5.x the platform is 1.x
copy "org.junit.platform:junit-platform-console-standalone:1.${junit#5.}"
for artifact in org.openjdk.jmh:jmh-core:1.37 net.sf.jopt-simple:jopt-simple:5.0.4 org.apache.commons:commons-math3:3.6.1; do copy "$artifact"; done

java_home=$(cat target/jdk.home)
jar=$java_home/bin/jar
# Not compressed: the archive is. Without what other processors run.
cp -r target/classes "$stage/classes"
rm -rf "$stage/classes/META-INF/native/linux-aarch64"
"$jar" --create --no-compress --file "$stage/lib/panoptim.jar" -C "$stage/classes" .
rm -r "$stage/classes"
"$jar" --create --no-compress --file "$stage/lib/panoptim-tests.jar" -C target/test-classes .
"$jar" --create --no-compress --file "$stage/lib/panoptim-bench.jar" -C bench/target/classes .
# Of JCuda's native libraries those that are used.
natives=$stage/natives
mkdir "$natives"
$maven dependency:copy -Dartifact="org.jcuda:jcuda-natives:$(version jcuda.version):jar:linux-x86_64" -DoutputDirectory="$natives"
$maven dependency:copy -Dartifact="org.jcuda:jcublas-natives:$(version jcuda.version):jar:linux-x86_64" -DoutputDirectory="$natives"
(cd "$natives" && for file in *.jar; do "$jar" xf "$file"; done)
"$jar" --create --file "$stage/lib/jcuda-natives.jar" -C "$natives" "lib/libJCudaDriver-$(version jcuda.version)-linux-x86_64.so" \
    -C "$natives" "lib/libJCublas2-$(version jcuda.version)-linux-x86_64.so"
rm -r "$natives"

"$java_home/bin/jlink" --add-modules java.base,java.logging,java.management,jdk.management,jdk.unsupported --strip-debug \
    --no-header-files --no-man-pages --compress zip-0 --output "$stage/jre"
# It has no network, and nobody looks at its symbols.
rm -f "$stage/jre/lib/security/public_suffix_list.dat" "$stage/jre/lib/security/cacerts"
find "$stage/jre" -name '*.so' -exec strip --strip-unneeded {} +
cp -r bench/shapes bench/torch_step.py bench/gpu-tests.txt "$stage/bench/"
cp -r src/test/golden src/test/resources "$stage/src/test/"
find "$stage/src" -name '*.py' -delete
# With which tests compile a rule of a user's own, where there is a compiler.
mkdir "$stage/target"
cp -r README.md kernels "$stage/"
cp -r target/generated-include "$stage/target/"
cp bench/run-gpu-checks.sh "$stage/"
{ git describe --always --dirty 2>/dev/null || echo "no version"; } >"$stage/BUILD"

tar -C "$(dirname "$stage")" --sort=name --owner=0 --group=0 --numeric-owner -cf - "$name" | gzip -9n >"$archive"
size=$(stat -c %s "$archive")
echo "$archive: $size bytes"
[ "$size" -le $limit ] || { echo "bundle.sh: larger than $limit bytes" >&2; exit 1; }
