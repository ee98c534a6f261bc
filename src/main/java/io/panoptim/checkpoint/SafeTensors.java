package io.panoptim.checkpoint;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.tensor.DType;
import io.panoptim.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Collections;
import java.util.Map;
import java.util.UUID;

/**
 * A safetensors file, mapped into memory: opening reads the header, and a tensor's bytes are read when they are touched.
 * Files may be larger than the heap and than 2 GiB. Any thread may read.
 *
 * @see <a href="https://huggingface.co/docs/safetensors">the format</a>
 */
public final class SafeTensors implements AutoCloseable {
    /** The longest header that the format allows, in bytes. */
    public static final int LONGEST_HEADER = Header.LONGEST;

    private static final int WRITE_BYTES = 1 << 20;

    private final Path file;
    private final Arena arena;
    private final MemorySegment data;
    private final Header header;

    private SafeTensors(Path file, Arena arena, MemorySegment data, Header header) {
        this.file = file;
        this.arena = arena;
        this.data = data;
        this.header = header;
    }

    /**
     * Maps a file and checks everything that the format says about its header and offsets. The file must not be cut
     * while it is open.
     *
     * @throws PanoptimException with the file, the tensor, what was expected and what was found
     */
    public static SafeTensors open(Path file) {
        Arena arena = Arena.ofShared();
        try (FileChannel channel = FileChannel.open(file)) {
            MemorySegment all = channel.map(MapMode.READ_ONLY, 0, channel.size(), arena);
            long begin = dataBegin(file, all);
            MemorySegment data = all.asSlice(begin);
            ByteBuffer json = all.asSlice(Header.PREFIX, begin - Header.PREFIX).asByteBuffer();
            return new SafeTensors(file, arena, data, Header.parse(file.toString(), json, data.byteSize()));
        } catch (IOException failed) {
            arena.close();
            throw new PanoptimException(Code.UNAVAILABLE, "SafeTensors.open",
                    file + ": cannot be read: " + reason(failed), failed);
        } catch (RuntimeException | Error refused) {
            arena.close();
            throw refused;
        }
    }

    private static long dataBegin(Path file, MemorySegment all) {
        if (all.byteSize() < Header.PREFIX) {
            throw PanoptimException.invalid("SafeTensors.open", file + ": has " + all.byteSize()
                    + " bytes, too few for a safetensors file, which begins with the 8 bytes of its header's length");
        }
        long length = all.asSlice(0, Header.PREFIX).asByteBuffer().order(ByteOrder.LITTLE_ENDIAN).getLong();
        if (length < 0 || length > Header.LONGEST) {
            throw PanoptimException.invalid("SafeTensors.open", file + ": its first 8 bytes say that the header has "
                    + Long.toUnsignedString(length) + " bytes, more than the format's " + Header.LONGEST
                    + ": not a safetensors file?");
        }
        if (length > all.byteSize() - Header.PREFIX) {
            throw PanoptimException.invalid("SafeTensors.open", file + ": its header should have " + length
                    + " bytes, but only " + (all.byteSize() - Header.PREFIX) + " follow: was it truncated?");
        }
        return Header.PREFIX + length;
    }

    public Path file() {
        return file;
    }

    /** The free-form {@code __metadata__}; empty when there is none. */
    public Map<String, String> metadata() {
        return Collections.unmodifiableMap(header.metadata());
    }

    /** What there is, by name, in the order of the header. */
    public Map<String, TensorInfo> tensors() {
        return Collections.unmodifiableMap(header.tensors());
    }

    /**
     * A tensor over the mapped file: read-only, row-major, of any alignment, valid until {@link #close()}. Copy it to
     * update it.
     *
     * @throws PanoptimException when there is no such tensor, or this library does not have its type
     */
    public Tensor tensor(String name) {
        TensorInfo info = header.tensors().get(name);
        if (info == null) {
            throw PanoptimException.invalid("SafeTensors.tensor", file + ": there is no tensor '" + name + "'");
        }
        DType dtype = info.type().dtype().orElseThrow(() -> PanoptimException.unsupported("SafeTensors.tensor",
                file + ": tensor '" + name + "' is " + info + ", of a type that this library does not compute with"));
        return Tensor.of(data.asSlice(info.begin(), info.end() - info.begin()), dtype, info.dimensions());
    }

    /** Unmaps the file; idempotent. The tensors can no longer be used. */
    @Override
    public void close() {
        if (arena.scope().isAlive()) {
            arena.close();
        }
    }

    /**
     * Writes a file, all of it or nothing: first under another name in the same folder, then moved over the target. The
     * data begins at a multiple of 64 bytes and larger elements come first.
     *
     * @param target a new file, or an existing one, which is replaced; links are followed
     * @param tensors in the CPU's memory, in any order, and row-major in the file
     * @param metadata free-form
     * @throws PanoptimException when a tensor cannot be written or the file cannot; the target is then as it was
     */
    public static void write(Path target, Map<String, Tensor> tensors, Map<String, String> metadata) {
        tensors.values().forEach(Tensor::segment); // there is one in the CPU's memory, or it is refused
        Header header = Header.of(tensors, metadata);
        try {
            Path real = Files.exists(target) ? target.toRealPath() : target.toAbsolutePath();
            // Moving over a device such as /dev/null would replace it for everyone.
            if (Files.exists(real) && !Files.isRegularFile(real)) {
                throw PanoptimException.invalid("SafeTensors.write", target + ": exists and is not a regular file");
            }
            Path temporary = real.resolveSibling("." + real.getFileName() + "." + UUID.randomUUID() + ".tmp");
            try {
                write(temporary, header, tensors);
                Files.move(temporary, real, StandardCopyOption.ATOMIC_MOVE);
            } finally {
                Files.deleteIfExists(temporary);
            }
        } catch (IOException failed) {
            throw new PanoptimException(Code.UNAVAILABLE, "SafeTensors.write",
                    target + ": cannot be written: " + reason(failed), failed);
        }
    }

    private static void write(Path temporary, Header header, Map<String, Tensor> tensors) throws IOException {
        try (FileChannel channel = FileChannel.open(temporary, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            write(channel, header.bytes());
            // Through a buffer, since a segment may be larger than a buffer can be, or lie in a Java array.
            ByteBuffer buffer = ByteBuffer.allocateDirect(WRITE_BYTES);
            for (String name : header.tensors().keySet()) {
                try (Arena arena = Arena.ofConfined()) {
                    write(channel, buffer, tensors.get(name).rowMajor(arena).segment());
                }
            }
            channel.force(true);
        }
    }

    private static void write(FileChannel channel, ByteBuffer buffer, MemorySegment segment) throws IOException {
        for (long begin = 0; begin < segment.byteSize(); begin += WRITE_BYTES) {
            buffer.clear().limit((int) Math.min(WRITE_BYTES, segment.byteSize() - begin));
            MemorySegment.ofBuffer(buffer).copyFrom(segment.asSlice(begin, buffer.limit()));
            write(channel, buffer);
        }
    }

    private static void write(FileChannel channel, ByteBuffer bytes) throws IOException {
        while (bytes.hasRemaining()) {
            channel.write(bytes);
        }
    }

    private static String reason(IOException failed) {
        return switch (failed) {
            case NoSuchFileException _ -> "no such file or folder";
            case AccessDeniedException _ -> "permission denied";
            default -> failed.toString();
        };
    }
}
