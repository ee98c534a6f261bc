package io.panoptim.checkpoint;

import io.panoptim.tensor.DType;
import java.util.Arrays;
import java.util.Optional;

/** The element types that a safetensors file can hold, under the format's names; this library has some of them. */
public enum StoredType {
    BOOL(8), F4(4), F6_E2M3(6), F6_E3M2(6), U8(8), I8(8), F8_E5M2(8), F8_E4M3(8), F8_E8M0(8), F8_E4M3FNUZ(8),
    F8_E5M2FNUZ(8), I16(16), U16(16), F16(16), BF16(16), I32(32), U32(32), F32(32), C64(64), F64(64), I64(64), U64(64);

    private final int bits;

    StoredType(int bits) {
        this.bits = bits;
    }

    /** Bits per element. */
    public int bits() {
        return bits;
    }

    /** This library's type of the same elements, if it has one. */
    public Optional<DType> dtype() {
        return Arrays.stream(DType.values()).filter(dtype -> dtype.safetensorsName().equals(name())).findFirst();
    }

    static Optional<StoredType> named(String name) {
        return Arrays.stream(values()).filter(type -> type.name().equals(name)).findFirst();
    }
}
