package io.panoptim.engine.cuda;

import io.panoptim.PanoptimException;
import io.panoptim.PanoptimException.Code;
import io.panoptim.engine.NativeResource;
import java.io.IOException;
import java.net.URL;
import java.nio.file.Path;
import java.util.function.Supplier;
import jcuda.JCudaVersion;
import jcuda.LibUtils;

/**
 * A native library of JCuda's.
 *
 * @param file where it has been unpacked
 */
record JCudaNative(Path file) {
    private static final String CALL = "JCuda";

    /** Unpacks the library of a name such as {@code JCudaDriver}, or refuses. */
    static JCudaNative of(String name) {
        String fileName = LibUtils.createLibraryFileName(LibUtils.createPlatformLibraryName(name + "-" + JCudaVersion.get()));
        URL resource = JCudaNative.class.getResource("/lib/" + fileName);
        if (resource == null) {
            throw new PanoptimException(Code.UNAVAILABLE, CALL, fileName + " is not on the class path: org.jcuda:jcuda-natives or "
                    + "jcublas-natives has it, for x86-64 only");
        }
        try {
            return new JCudaNative(NativeResource.unpack(resource, fileName));
        } catch (IOException failure) {
            throw new PanoptimException(Code.UNAVAILABLE, CALL, fileName + " cannot be unpacked: " + failure);
        }
    }

    /**
     * Does what makes JCuda load the library, for the first time. It would unpack it into the temporary folder, under a name that anyone
     * can guess, and load whatever lies there already: for this one moment that folder is the one where the library has just been checked.
     */
    <T> T touch(Supplier<T> first) {
        String temporaryFolder = System.getProperty("java.io.tmpdir");
        System.setProperty("java.io.tmpdir", file.getParent().toString());
        try {
            return first.get();
        } catch (LinkageError refused) {
            throw new PanoptimException(Code.UNAVAILABLE, CALL, file + " cannot be loaded: " + refused);
        } finally {
            System.setProperty("java.io.tmpdir", temporaryFolder);
        }
    }
}
